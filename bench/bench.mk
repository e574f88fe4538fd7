# SPDX-License-Identifier: Apache-2.0
#
# Benchmarks. `make bench` builds build/bench, runs all of it and writes build/bench.json; options in
# BENCH_ARGS (--only fits, --quick): docs/benchmarks.md.

BENCH_SRC  := $(wildcard bench/*.c)
BENCH_OBJ  := $(BENCH_SRC:%.c=$(OBJDIR)/%.o)
BENCH_ARGS ?=
-include $(BENCH_OBJ:.o=.d)

$(OUT)/bench: $(BENCH_OBJ) $(OBJ) $(GUEST_OBJ)
	$(call say,LINK,$@)
	$(Q)$(CC) $(CFLAGS) $(LDFLAGS) -o $@ $^ $(LDLIBS)

bench: all $(OUT)/bench
	$(Q)$(OUT)/bench --json $(OUT)/bench.json --swap $(OUT)/bench-swap $(BENCH_ARGS)
