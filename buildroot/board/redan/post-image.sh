#!/bin/sh
# Hands root tree, kernel and modules to the assembler, which makes disk image and update bundle of them: post-image.sh IMAGES
set -eu

if [ $# -lt 1 ]; then
	echo "usage: post-image.sh IMAGES" >&2
	exit 2
fi
images=$1
here=$(cd "$(dirname "$0")" && pwd)
repository=$(cd "$here/../../.." && pwd)
tree=$images/root-tree

# The part of the target folder that root.list sends to the image. What only Buildroot's own steps read stays behind.
rm -rf "$tree"
mkdir -p "$tree"
sed -e '/^#/d' -e '/^$/d' "$here/root.list" | while read -r path _ place _; do
	case $place:$path in
	build:*) ;;
	*:*/) mkdir -p "$tree/$path" ;;
	*)
		mkdir -p "$tree/$(dirname "$path")"
		cp -P --preserve=mode,timestamps "$TARGET_DIR/$path" "$tree/$path"
		;;
	esac
done

# One kernel, one folder of modules; a second one would be left over from an earlier configuration.
set -- "$TARGET_DIR"/lib/modules/*
if [ $# -ne 1 ] || [ ! -d "$1" ]; then
	echo "post-image: there should be one kernel's modules in $TARGET_DIR/lib/modules: $*" >&2
	exit 1
fi

# The programs that Buildroot built for the machine that builds come first: mkfs.erofs is the one whose version the configuration names.
PATH=$HOST_DIR/bin:$HOST_DIR/sbin:$PATH
export PATH
"$repository/image/build" --root-tree "$tree" --kernel "$images/bzImage" --modules "$1" --output "$images"
