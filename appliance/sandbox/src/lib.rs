//! The one place of namespaces, capabilities, Landlock and seccomp.
