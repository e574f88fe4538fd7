# SPDX-License-Identifier: Apache-2.0
# Fuzzing with libFuzzer (clang). `make fuzz` gives each target FUZZ_SECONDS; inputs that reach new
# code are kept in build/fuzz/<target>.corpus, so that a longer run goes on from a shorter one.

FUZZ_SECONDS ?= 20
FUZZ_CC      ?= clang
FUZZ_TARGETS := $(patsubst tests/fuzz/%_fuzz.c,%,$(wildcard tests/fuzz/*_fuzz.c))
FUZZ_CFLAGS  := -O1 -g -std=gnu17 -pthread -Wno-gnu -fsanitize=fuzzer,address,undefined

.PHONY: fuzz
fuzz: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%.run)

# A target is its own file and the folders below manager/ and hv/, which need nothing but bytes.
FUZZ_SRC := $(foreach d,lib mem swap virtio attach balloon,$(wildcard $(d)/*.c))

# The rig by which a test is a driver serves a fuzzer as well.
FUZZ_SRC += tests/unit/virtio_rig.c

$(BUILD)/fuzz/%: tests/fuzz/%_fuzz.c $(FUZZ_SRC)
	$(call say,FUZZCC,$@)
	$(Q)mkdir -p $(@D)
	$(Q)$(FUZZ_CC) $(CPPFLAGS) $(FUZZ_CFLAGS) -o $@ $< $(FUZZ_SRC) $(LDLIBS)

.PHONY: $(FUZZ_TARGETS:%=$(BUILD)/fuzz/%.run)
.PRECIOUS: $(BUILD)/fuzz/%
$(FUZZ_TARGETS:%=$(BUILD)/fuzz/%.run): %.run: %
	$(Q)mkdir -p $*.corpus
	$(Q)$* -max_total_time=$(FUZZ_SECONDS) -max_len=8193 -verbosity=0 \
		-artifact_prefix=$*. $*.corpus >$*.log 2>&1 || \
		{ cat $*.log; echo "FAIL fuzz/$(@F:.run=): the input is beside $*.log"; exit 1; }
	@echo "ok fuzz/$(@F:.run=)"
