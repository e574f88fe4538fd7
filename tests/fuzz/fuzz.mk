# SPDX-License-Identifier: Apache-2.0
# Fuzzing with libFuzzer (clang). `make fuzz` gives each target FUZZ_SECONDS; inputs that reach new
# code are kept in build/fuzz/<target>.corpus, so that a longer run goes on from a shorter one.

FUZZ_SECONDS ?= 20
FUZZ_CC      ?= clang
FUZZ_TARGETS := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_CFLAGS  := -O1 -g -std=gnu17 -pthread -Wno-gnu -fsanitize=fuzzer,address,undefined

.PHONY: fuzz
fuzz: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%.run)

# A target is its own file and the folders below manager/ and hv/ that need nothing but bytes, or memory that is
# empty; and the rig by which a test is a driver serves a fuzzer as well.
FUZZ_SRC := $(foreach d,lib mem virtio attach balloon,$(wildcard $(d)/*.c)) tests/unit/virtio_rig.c
FUZZ_OBJ := $(FUZZ_SRC:%.c=$(BUILD)/fuzz/obj/%.o)

$(BUILD)/fuzz/obj/%.o: %.c | deps
	$(call say,FUZZCC,$<)
	$(Q)mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_CFLAGS) -MMD -MP -c -o $@ $<

$(BUILD)/fuzz/%: $(BUILD)/fuzz/obj/tests/fuzz/%_fuzz.o $(FUZZ_OBJ)
	$(call say,LINK,$@)
	$(Q)$(FUZZ_CC) $(FUZZ_CFLAGS) -o $@ $^ $(LDLIBS)

-include $(FUZZ_OBJ:.o=.d)

.PHONY: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%.run)
.PRECIOUS: $(BUILD)/fuzz/% $(BUILD)/fuzz/obj/%.o
$(FUZZ_TARGETS:%=$(BUILD)/fuzz/%.run): %.run: %
	$(Q)mkdir -p $*.corpus
	$(Q)$* -max_total_time=$(FUZZ_SECONDS) -max_len=8193 -verbosity=0 \
		-artifact_prefix=$*. $*.corpus >$*.log 2>&1 || \
		{ cat $*.log; echo "FAIL fuzz/$(@F:.run=): the input is beside $*.log"; exit 1; }
	@echo "ok fuzz/$(@F:.run=)"
