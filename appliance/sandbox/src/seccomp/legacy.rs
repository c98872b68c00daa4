//! Calls that only the oldest architectures still have; newer ones replaced each by one with more arguments, which is listed too.

macro_rules! legacy {
    ($($name:ident)*) => {
        $(
            #[cfg(target_arch = "x86_64")]
            pub(super) use libc::$name;
            /// No call has this number: the entry is left out.
            #[cfg(not(target_arch = "x86_64"))]
            pub(super) const $name: std::ffi::c_long = -1;
        )*
    };
}

legacy! {
    SYS_access SYS_epoll_wait SYS_mkdir SYS_open SYS_poll SYS_readlink SYS_rename SYS_rmdir SYS_stat SYS_time SYS_unlink
}
