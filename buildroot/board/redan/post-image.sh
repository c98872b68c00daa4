#!/bin/sh
# Hands programs, kernel and modules to the assembler, which makes disk image and update bundle of them: post-image.sh IMAGES
set -eu

if [ $# -lt 1 ]; then
	echo "usage: post-image.sh IMAGES" >&2
	exit 2
fi
images=$1
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../../.." && pwd)

# One kernel, one folder of modules; a second one would be left over from an earlier configuration.
set -- "$TARGET_DIR"/lib/modules/*
if [ $# -ne 1 ] || [ ! -d "$1" ]; then
	echo "post-image: there should be one kernel's modules in $TARGET_DIR/lib/modules: $*" >&2
	exit 1
fi
release=${1##*/}

# The programs that root.list names (post-build.sh has removed all others), and the kernel in the layout of Debian's package.
rm -rf "$images/programs" "$images/kernel"
mkdir -p "$images/programs" "$images/kernel/boot" "$images/kernel/lib/modules"
cp --preserve=mode,timestamps "$TARGET_DIR"/usr/lib/redan/* "$images/programs"
cp --preserve=timestamps "$images/bzImage" "$images/kernel/boot/vmlinuz-$release"
cp -R --preserve=mode,timestamps "$1" "$images/kernel/lib/modules/$release"
# Links into the folder that the kernel was built in.
rm -f "$images/kernel/lib/modules/$release/build" "$images/kernel/lib/modules/$release/source"

# The programs that Buildroot built for this machine come first, cargo and mkfs.erofs among them; cargo finds the assembler's crates where
# the appliance's were.
PATH=$HOST_DIR/bin:$HOST_DIR/sbin:$PATH
CARGO_HOME=$REDAN_CRATES_DIR
CARGO_NET_OFFLINE=true
CARGO_TARGET_DIR=$BUILD_DIR/redan-assembler
export PATH CARGO_HOME CARGO_NET_OFFLINE CARGO_TARGET_DIR
"$repository/image/build" --binaries "$images/programs" --kernel "$images/kernel" --out "$images"
