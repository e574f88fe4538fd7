# SPDX-License-Identifier: Apache-2.0
# Tests: Criterion programs for the units, shell scripts that run guests. `make check` builds and runs
# all of them; `make unit` the plain units alone, with Criterion's options in UNIT_ARGS
# (--filter 'attach_*/*').

UNIT_SRC  := $(wildcard tests/unit/*.c)
# Of the library that is loaded into QEMU, what needs no QEMU: a test program wants none of its hooks.
UNIT_OF_PRELOAD := preload/qmp.c preload/keeper.c preload/pieces.c
UNIT_OBJ  := $(UNIT_SRC:%.c=$(OBJDIR)/%.o) $(UNIT_OF_PRELOAD:%.c=$(OBJDIR)/%.o)
UNIT_ARGS ?=
SANITIZED := address,undefined thread
-include $(UNIT_OBJ:.o=.d)

# Programs that guest tests use: each is one file and all of ballast but its main().
GUEST_TOOLS := $(patsubst %.c,$(OUT)/%,$(wildcard tests/guest/*.c) tests/linux/balloon.c)
-include $(GUEST_TOOLS:$(OUT)/%=$(OBJDIR)/%.d)

$(GUEST_TOOLS): $(OUT)/%: $(OBJDIR)/%.o $(OBJ) $(GUEST_OBJ)
	$(call say,LINK,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

# The thread sanitizer and Criterion's library exclude each other: tests/thread-runner.c.
ifneq ($(findstring thread,$(SANITIZE)),)
UNIT_OBJ += $(OBJDIR)/tests/thread-runner.o
else
UNIT_LIB := -lcriterion
endif
ifneq ($(findstring address,$(SANITIZE)),)
UNIT_OBJ += $(OBJDIR)/tests/leak-check.o
endif

$(OUT)/unit-tests: $(UNIT_OBJ) $(OBJ) $(GUEST_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS) $(UNIT_LIB)

sanitized_program = $(BUILD)/sanitize-$(subst $(comma),-,$(1))/unit-tests

.PRECIOUS: $(OBJDIR)/%.o
.PHONY: unit check-built check-sanitize build-sanitized headers
unit: $(OUT)/unit-tests
	$(Q)$< $(UNIT_ARGS)

build-sanitized:
	$(Q)for sanitize in $(SANITIZED); do \
		$(MAKE) --no-print-directory SANITIZE=$$sanitize \
			$(BUILD)/sanitize-$$(echo $$sanitize | tr , -)/unit-tests || exit 1; \
	done

check-sanitize: build-sanitized
	$(Q)BALLAST=$(OUT)/ballast tests/run.sh \
		$(foreach s,$(SANITIZED),$(call sanitized_program,$(s)))

# Builds with all CPUs unless told otherwise. Packages come first: the makes that it runs would each install them.
check: deps
	$(Q)$(MAKE) --no-print-directory $(if $(filter -j%,$(MAKEFLAGS)),,-j$(shell nproc)) check-built
	$(Q)BALLAST=$(OUT)/ballast tests/run.sh $(OUT)/unit-tests \
		$(foreach s,$(SANITIZED),$(call sanitized_program,$(s))) \
		-- tests/fuzz/short.sh $(sort $(wildcard tests/guest/*.sh))

# A Linux kernel, built once (tests/linux/build-kernel.sh), and its own drivers on our devices.
KERNEL      := $(BUILD)/linux/vmlinux
LINUX_TESTS := $(filter-out %/lib.sh %/build-kernel.sh,$(wildcard tests/linux/*.sh))

.PHONY: check-linux
check-linux: all $(OUT)/tests/linux/balloon
	$(Q)tests/linux/build-kernel.sh $(dir $(KERNEL))
	$(Q)BALLAST=$(OUT)/ballast KERNEL=$(KERNEL) TEST_TIMEOUT=1800 tests/run.sh -- $(LINUX_TESTS)

# Stock QEMU with stock Linux guests under `ballast manager`, without KVM. What they boot is made once.
QEMU_FIXTURE := $(BUILD)/qemu
QEMU_TESTS   := $(addprefix tests/qemu/,two_guests.sh backends.sh)

.PHONY: check-qemu bench-qemu
check-qemu: all
	$(Q)tests/qemu/fixture.sh $(QEMU_FIXTURE)
	$(Q)BALLAST=$(OUT)/ballast QEMU_FIXTURE=$(QEMU_FIXTURE) TEST_TIMEOUT=1800 tests/run.sh -- $(QEMU_TESTS)

bench-qemu: all
	$(Q)BALLAST=$(OUT)/ballast QEMU_FIXTURE=$(QEMU_FIXTURE) bench/qemu.sh

check-built: all headers $(OUT)/unit-tests $(GUEST_TOOLS) build-sanitized $(OUT)/tools/promtool

# Where it cannot be had, the test that wants it says so.
$(OUT)/tools/promtool: | deps
	-$(Q)tools/promtool.sh $(@D)

# Every header compiles alone.
headers: deps
	$(Q)for header in $(wildcard $(FOLDERS:%=%/*.h)); do \
		$(CC) $(CPPFLAGS) $(CFLAGS) -fsyntax-only -x c $$header || exit 1; \
	done

include tests/fuzz/fuzz.mk
