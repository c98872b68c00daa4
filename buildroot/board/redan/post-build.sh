#!/bin/sh
# Removes from the target folder whatever root.list does not name, and refuses what an image must not hold: post-build.sh TARGET
#
# Buildroot's skeleton and packages bring more than the appliance runs (the C library of the toolchain, locale data, profiles). Listing
# what stays, and not what goes, keeps out what a later Buildroot would add.
set -eu

if [ $# -lt 1 ]; then
	echo "usage: post-build.sh TARGET" >&2
	exit 2
fi
target=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
list=$here/root.list
# The toolchain's own, where there is one: it knows the target's format.
readelf=readelf
for tool in "${HOST_DIR:-/nonexistent}"/bin/*-linux-gnu-readelf; do
	[ -x "$tool" ] && readelf=$tool
done

fail() {
	echo "post-build: $*" >&2
	exit 1
}

# A removal that follows a wrong path would hit the machine that builds.
[ "$target" != / ] || fail "the target folder is the root of this machine"
[ -d "$target/usr/lib/redan" ] || fail "$target is not a target folder of this appliance"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
sed -e '/^#/d' -e '/^$/d' "$list" > "$work/list"

# Links to folders (`/bin` → `usr/bin`) are removed with the rest: nothing looks there.
cd "$target"
find . ! -type d ! -path . | sed 's|^\./||' > "$work/files"
while read -r file; do
	keep=no
	while read -r path _; do
		case $path in
		*/) ;;
		*'/*') case $file in "${path%\*}"*) keep=yes ;; esac ;;
		*) [ "$file" = "$path" ] && keep=yes ;;
		esac
	done < "$work/list"
	[ $keep = yes ] || rm -f -- "$file"
done < "$work/files"
while read -r path _ place _; do
	case $path in
	*/) mkdir -p "$path" ;;
	*'/*') ;;
	*) [ "$place" = build ] || [ -f "$path" ] || fail "$path is on the list and was not built" ;;
	esac
done < "$work/list"
# The deepest first. A folder that holds something stays, and rmdir says so.
find . -mindepth 1 -depth -type d | sed 's|^\./||' > "$work/folders"
while read -r folder; do
	grep -q "^$folder/ " "$work/list" || rmdir -- "$folder" 2>/dev/null || true
done < "$work/folders"
found=$(find . -type f -perm /7000)
[ -z "$found" ] || fail "runs with somebody else's rights: $found"
# Links of the modules' folder do not reach the image.
found=$(find . ! -type f ! -type d ! -path './lib/modules/*')
[ -z "$found" ] || fail "is neither file nor folder: $found"
found=$(find . -type f -perm /022)
[ -z "$found" ] || fail "can be written by others than root: $found"

# Each program: at a random place, no dynamic loader, nothing bound late, no executable stack.
find . -type f -perm /111 | sed 's|^\./||' > "$work/programs"
while read -r program; do
	# A script would need an interpreter, and a page of configuration should not be executable.
	"$readelf" -hldW "$program" > "$work/elf" 2>/dev/null || fail "$program is executable and not a program"
	! grep -q ' INTERP ' "$work/elf" || fail "$program is not static"
	grep -q 'Type: *DYN' "$work/elf" || fail "$program does not run at a random place (PIE)"
	grep -q ' GNU_RELRO ' "$work/elf" || fail "$program has no read-only relocations"
	grep -q 'FLAGS_1.*NOW' "$work/elf" || fail "$program is bound late"
	grep -Eq ' GNU_STACK .* RW ' "$work/elf" || fail "$program has an executable stack"
done < "$work/programs"
