################################################################################
#
# redan
#
################################################################################

REDAN_VERSION = 0.1.0
# The source is the repository that this tree is part of: one commit names both.
REDAN_SITE = $(BR2_EXTERNAL_REDAN_PATH)/..
REDAN_SITE_METHOD = local
REDAN_OVERRIDE_SRCDIR_RSYNC_EXCLUSIONS = \
	--exclude=/target \
	--exclude=/target-* \
	--exclude=/redan-state \
	--exclude=/vendor \
	--exclude=node_modules
# Redan's own, and those of the crates in its binaries (deny.toml allows no other).
REDAN_LICENSE = \
	Apache-2.0, \
	Apache-2.0 WITH LLVM-exception (crates), \
	BSD-2-Clause (crates), \
	BSD-3-Clause (crates), \
	CC0-1.0 (crates), \
	ISC (crates), \
	MIT (crates), \
	MIT-0 (crates), \
	MPL-2.0 (crates), \
	Unicode-3.0 (crates), \
	Unlicense (crates), \
	Zlib (crates)
REDAN_LICENSE_FILES = LICENSE

# post-image.sh finds the assembler's crates there, too.
export REDAN_CRATES_DIR = $(call qstrip,$(BR2_PACKAGE_REDAN_CRATES))
REDAN_RELEASE_DIR = $(@D)/target/$(RUSTC_TARGET_NAME)/release

# PID 1, what its manifest starts, the tool of the data partition, and the first program of a start (for the initramfs).
REDAN_BINARIES = \
	redan-supervisor \
	redan-vault \
	redan-manager \
	redan-network \
	redan-proxy \
	redan-console \
	redan-provision \
	redan-update \
	redan-data \
	redan-init
REDAN_CARGO_BUILD_OPTS = --workspace $(addprefix --bin=,$(REDAN_BINARIES))

# The crates' C code is compiled by the toolchain's wrapper, which adds the hardening flags of the configuration; CMake would not ask it.
REDAN_CARGO_ENV = AWS_LC_SYS_CMAKE_BUILDER=0

# Unpacks the crates beside the workspace and tells cargo to look nowhere else. A crate that is missing, or differs from its checksum in
# Cargo.lock, ends the build.
define REDAN_VENDOR
	$(REDAN_PKGDIR)/vendor $(@D)/Cargo.lock $(REDAN_CRATES_DIR) $(@D)
endef
REDAN_POST_RSYNC_HOOKS += REDAN_VENDOR

# The console has its pages inside. Without them it would serve a page that says so, which is no image to ship.
define REDAN_CHECK_PAGES
	test -f $(@D)/appliance/console/web/dist/index.html || \
		{ echo "the console's pages are not built: run buildroot/prepare" >&2; exit 1; }
endef
REDAN_PRE_BUILD_HOOKS += REDAN_CHECK_PAGES

# cargo-package would run `cargo install` for each workspace member, one after the other; the binaries are there already.
define REDAN_INSTALL_TARGET_CMDS
	$(foreach binary,$(REDAN_BINARIES),
		$(INSTALL) -D -m 0755 $(REDAN_RELEASE_DIR)/$(binary) \
			$(TARGET_DIR)/usr/lib/redan/$(binary)
	)
endef

$(eval $(cargo-package))
