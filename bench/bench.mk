# SPDX-License-Identifier: Apache-2.0
#
# Benchmarks. `make bench` builds build/bench, runs all of it and writes build/bench.json; options in
# BENCH_ARGS (--only fits, --quick): docs/benchmarks.md.

BENCH_SRC  := $(filter-out $(SRC),$(wildcard bench/*.c))
BENCH_OBJ  := $(BENCH_SRC:%.c=$(OBJDIR)/%.o)
BENCH_ARGS ?=
-include $(BENCH_OBJ:.o=.d)

$(OUT)/bench: $(BENCH_OBJ) $(OBJ) $(GUEST_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

bench: all $(OUT)/bench
	$(Q)$(OUT)/bench --json $(OUT)/bench.json --swap $(OUT)/bench-swap $(BENCH_ARGS)

# Against the kernel's own mechanisms: docs/benchmarks.md. `bench-quick` in three minutes; options of
# `ballast bench overcommit` in OVERCOMMIT_ARGS.
OVERCOMMIT_ARGS ?=

.PHONY: bench-overcommit bench-quick
bench-overcommit: all
	$(Q)$(OUT)/ballast bench overcommit --report $(OUT)/overcommit --swap $(OUT) $(OVERCOMMIT_ARGS)

bench-quick: all
	$(Q)$(OUT)/ballast bench overcommit --quick --report $(OUT)/overcommit-quick --swap $(OUT) \
		$(OVERCOMMIT_ARGS)

# The page of the last `make bench-quick` or `bench-overcommit` in headless Chromium; skips without one.
.PHONY: check-bench-page
check-bench-page:
	$(Q)for page in $(wildcard $(OUT)/overcommit*/report.html); do \
		tests/bench/screenshots.sh $$page $$(dirname $$page)/screenshots || exit 1; \
	done
