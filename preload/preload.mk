# SPDX-License-Identifier: Apache-2.0
# libballast-attach.so, which `ballast wrap` loads into QEMU. It shares a process with whatever QEMU brings
# along, so it shows nothing but its hooks, and needs no library but the C library.

PRELOAD     := $(OUT)/libballast-attach.so
PRELOAD_SRC := $(wildcard preload/*.c) attach/attach.c attach/faultfd.c lib/thread.c
PRELOAD_OBJ := $(PRELOAD_SRC:%.c=$(OBJDIR)/pic/%.o)
-include $(PRELOAD_OBJ:.o=.d)

$(PRELOAD): $(PRELOAD_OBJ) preload/exports.map
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -shared -Wl,--version-script=preload/exports.map \
		-Wl,-z,defs -o $@ $(PRELOAD_OBJ) -ldl

$(OBJDIR)/pic/%.o: %.c | deps
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -fPIC -MMD -MP -c -o $@ $<
