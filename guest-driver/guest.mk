# SPDX-License-Identifier: Apache-2.0
#
# The guest twice: as a freestanding ELF file inside the ballast binary, never instrumented, and as
# host objects for accel=thread.

GUEST_SRC := $(addprefix guest-driver/,balloon.c cache.c churn.c content.c fmath.c frames.c free_pages.c \
	       guest.c heap.c kv.c line.c pages.c poison.c vq.c workloads.c zipf.c)
NANO_SRC  := $(GUEST_SRC) guest-driver/memory.c guest-driver/platform_kvm.c
HOST_SRC  := $(GUEST_SRC) guest-driver/args.c guest-driver/platform_thread.c

NANO      := $(OBJDIR)/guest-driver/nano
NANO_ELF  := $(NANO)/guest.elf
NANO_OBJ  := $(NANO_SRC:guest-driver/%.c=$(NANO)/%.o) $(NANO)/entry.o
GUEST_OBJ := $(HOST_SRC:%.c=$(OBJDIR)/%.o) $(OBJDIR)/guest-driver/image.o

# No red zone: nothing interrupts the guest today, but a handler of its own one day would. Address 0
# is the start of its memory, which the compiler must not take for a mistake.
NANO_CFLAGS := -std=gnu17 $(WARN) -O2 -g -ffreestanding -fno-stack-protector -mno-red-zone -fno-pic \
	       -mcmodel=small -fno-strict-aliasing -fno-delete-null-pointer-checks -fcf-protection=none \
	       -fno-asynchronous-unwind-tables -fno-tree-loop-distribute-patterns -march=x86-64 \
	       -mtune=generic -I.

$(NANO)/%.o: guest-driver/%.c | deps
	$(call say,GUEST,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(NANO_CFLAGS) -MMD -MP -c -o $@ $<

$(NANO)/%.o: guest-driver/%.S | deps
	$(call say,GUEST,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(NANO_CFLAGS) -c -o $@ $<

$(NANO_ELF): $(NANO_OBJ) guest-driver/guest.ld
	$(call say,LINK,$@)
	$(Q)$(CC) -nostdlib -static -no-pie -Wl,-T,guest-driver/guest.ld -Wl,--build-id=none \
		-Wl,-z,noexecstack -Wl,--fatal-warnings -o $@ $(NANO_OBJ)

$(OBJDIR)/guest-driver/image.o: guest-driver/image.S $(NANO_ELF)
	$(call say,AS,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -DGUEST_ELF='"$(NANO_ELF)"' -c -o $@ $<

-include $(GUEST_OBJ:.o=.d) $(NANO_OBJ:.o=.d)
