# SPDX-License-Identifier: Apache-2.0
#
# Ballast. `make demo` and `make check` do all a newcomer needs, packages included.
#
#	V=1                  show commands
#	SANITIZE=address,undefined | thread
#	                     instrumented build, in a folder of its own
#	BUILD=dir            where everything built goes (default: build)

BUILD    ?= build
SANITIZE ?=
V        ?= 0
PREFIX   ?= /usr/local
CC       ?= gcc

comma := ,
OUT   := $(BUILD)$(if $(SANITIZE),/sanitize-$(subst $(comma),-,$(SANITIZE)))
OBJDIR := $(OUT)/obj
Q     := $(if $(filter 1,$(V)),,@)
say    = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' '$(1)' '$(2)')

WARN     := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes -Wshadow
CPPFLAGS += -I. -D_GNU_SOURCE
CFLAGS   ?= -O2 -g
CFLAGS   += -std=gnu17 $(WARN) -pthread -fno-strict-aliasing
LDLIBS   := -luring -lxxhash -llz4 -lnuma -linih -lseccomp -lfuse3 -lmicrohttpd -lncursesw -lsystemd -lm
ifneq ($(SANITIZE),)
CFLAGS   += -fsanitize=$(SANITIZE) -fno-omit-frame-pointer
LDFLAGS  += -fsanitize=$(SANITIZE)
endif

# Folders in the order in which they may include each other.
FOLDERS  := lib mem swap ksm virtio attach balloon manager hv ctl bench/overcommit
SRC      := $(foreach d,$(FOLDERS),$(wildcard $(d)/*.c)) bench/machine.c
OBJ      := $(SRC:%.c=$(OBJDIR)/%.o)

.PHONY: all demo check bench deps docs format install clean
all: $(OUT)/ballast $(OUT)/libballast-attach.so

include guest-driver/guest.mk
include preload/preload.mk
include tests/tests.mk
include bench/bench.mk

$(OUT)/ballast: $(OBJDIR)/main.o $(OBJ) $(GUEST_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

$(OBJDIR)/%.o: %.c | deps
	$(call say,CC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(CFLAGS) -MMD -MP -c -o $@ $<

-include $(OBJ:.o=.d) $(OBJDIR)/main.d

# Installs the Debian packages we build with, or says which are missing.
deps:
	$(Q)./tools/deps.sh

demo: all
	$(OUT)/ballast run examples/overcommit.ini

# The tables of docs/control.md, from the program's own.
docs: all
	$(Q)tools/control-doc.sh $(OUT)/ballast docs/control.md

format:
	$(Q)clang-format -i $(wildcard */*.[ch] tests/*/*.[ch] main.c)

install: all
	install -D -m 0755 $(OUT)/ballast $(DESTDIR)$(PREFIX)/bin/ballast
	install -D -m 0644 $(PRELOAD) $(DESTDIR)$(PREFIX)/lib/ballast/libballast-attach.so
	install -D -m 0644 tools/ballast@.service $(DESTDIR)$(PREFIX)/lib/systemd/system/ballast@.service

clean:
	rm -rf $(BUILD)
