# kmembench: see `make help`. One Makefile, no recursion; the layers are listed
# below from the bottom up, and adding a source file to a folder is all it takes.

VERSION := 0.1.0

# --- what a user may set ---
V        ?= 0
CC       ?= gcc
CXX      ?= g++
AR       ?= ar
SANITIZE ?=
DEVELOPER ?= 0
PREFIX   ?= /usr/local
DESTDIR  ?=
O        ?= build$(if $(SANITIZE),/$(SANITIZE))
CFLAGS   ?= -O2 -g
CXXFLAGS ?= $(CFLAGS)
LDFLAGS  ?=
TEST_TIMEOUT_S ?= 300

ifeq ($(origin CC),default)
CC := gcc
endif
ifeq ($(origin CXX),default)
CXX := $(if $(findstring clang,$(CC)),clang++,g++)
endif

.DEFAULT_GOAL := all
# All cores, unless -j says otherwise.
ifeq ($(filter -j%,$(MAKEFLAGS)),)
MAKEFLAGS += -j$(shell nproc)
endif
Q := $(if $(filter 1,$(V)),,@)
say = $(if $(filter 1,$(V)),,@printf '  %-7s %s\n' '$(1)' '$(patsubst $(CURDIR)/%,%,$(2))')

# --- dependencies: installed once, when a header or program is missing ---
# Nothing runs for goals that need no build.
NO_DEPS_GOALS := deps help clean distclean
ifneq ($(filter-out $(NO_DEPS_GOALS),$(or $(MAKECMDGOALS),all)),)
DEPS_STATUS := $(shell tools/deps.sh --if-missing $(if $(filter test test-% check,$(MAKECMDGOALS)),--tests) >&2 && echo ok)
ifneq ($(DEPS_STATUS),ok)
$(error dependencies are missing and could not be installed, see the lines above; 'make deps' installs them)
endif
endif

# --- flags ---
BASE_FLAGS := -D_GNU_SOURCE -DKMEMBENCH_VERSION='"$(VERSION)"' -I. -Iallocators/include \
	-fPIC -fvisibility=hidden -ftls-model=initial-exec -fno-semantic-interposition -pthread \
	-Wall -Wextra -Wshadow -Wundef -Wpointer-arith -Wwrite-strings -Wvla
C_FLAGS := -std=gnu11 $(BASE_FLAGS) -Wstrict-prototypes -Wmissing-prototypes -Wold-style-definition
CXX_FLAGS := -std=gnu++17 $(BASE_FLAGS)
ifeq ($(findstring clang,$(CC)),clang)
C_FLAGS := $(filter-out -fno-semantic-interposition,$(C_FLAGS))
endif
ifeq ($(findstring clang,$(CXX)),clang)
CXX_FLAGS := $(filter-out -fno-semantic-interposition,$(CXX_FLAGS))
endif
ifeq ($(DEVELOPER),1)
C_FLAGS += -Werror
CXX_FLAGS += -Werror
endif
ifneq ($(SANITIZE),)
SAN_FLAGS := -fsanitize=$(SANITIZE) -fno-omit-frame-pointer -fno-sanitize-recover=all
# Assembly that a sanitizer cannot see is replaced by locks: os/percpu_fast.h.
ifneq ($(filter address thread,$(SANITIZE)),)
SAN_FLAGS += -DOS_PERCPU_RSEQ=0
endif
endif
ifneq ($(filter-out $(NO_DEPS_GOALS),$(or $(MAKECMDGOALS),all)),)
PC_LIBS  := hwloc jansson gsl numa
PC_CFLAGS := $(shell pkg-config --cflags hwloc jansson gsl numa)
HWLOC_LIBS := $(shell pkg-config --libs hwloc numa)
BENCH_LIBS := $(shell pkg-config --libs hwloc numa jansson gsl) -linih -lbenchmark -lstdc++ -ldl -lm
endif

# --- layers, bottom up ---
LIB_LAYERS := core os phys buddy slab vmalloc malloc
$(foreach l,$(LIB_LAYERS),$(eval SRC_$(l) := $$(filter-out %_ops.c,$$(wildcard allocators/$(l)/*.c))))
SRC_adapters  := $(wildcard allocators/*/*_ops.c allocators/peers/*.c)
SRC_workloads := $(wildcard workloads/*.c workloads/harness/*.c)
SRC_bench     := $(filter-out bench/main.c,$(wildcard bench/*.c))
SRC_shim      := $(wildcard bench/*.cc)
SRC_lib       := $(foreach l,$(LIB_LAYERS),$(SRC_$(l)))

obj = $(patsubst %.c,$(O)/obj/%.o,$(patsubst %.cc,$(O)/obj/%.o,$(1)))
OBJ_lib   := $(call obj,$(SRC_lib))
OBJ_up_to_adapters  := $(OBJ_lib) $(call obj,$(SRC_adapters))
OBJ_up_to_workloads := $(OBJ_up_to_adapters) $(call obj,$(SRC_workloads))
OBJ_up_to_bench     := $(OBJ_up_to_workloads) $(call obj,$(SRC_bench) $(SRC_shim))
OBJ_all   := $(OBJ_up_to_bench) $(call obj,bench/main.c)

PROGRAM   := $(O)/kmembench
LIBS      := $(O)/libkmem.a $(O)/libkmem.so
RECORDER_SRC := $(wildcard bench/recorder/*.c)
RECORDER  := $(if $(RECORDER_SRC),$(O)/libkmembench-record.so)
MALLOC_SRC := $(wildcard allocators/malloc/preload/*.c)
MALLOC_SO := $(if $(MALLOC_SRC),$(O)/libkmem-malloc.so)

.PHONY: all
all: $(PROGRAM) $(LIBS) $(RECORDER) $(MALLOC_SO) compile_commands.json ## build the program and the libraries

$(O)/obj/%.o: %.c $(O)/flags
	@mkdir -p $(@D)
	$(call say,CC,$<)
	$(Q)$(CC) $(C_FLAGS) $(PC_CFLAGS) $(CFLAGS) $(SAN_FLAGS) -MMD -MP -c -o $@ $<

$(O)/obj/%.o: %.cc $(O)/flags
	@mkdir -p $(@D)
	$(call say,CXX,$<)
	$(Q)$(CXX) $(CXX_FLAGS) $(CXXFLAGS) $(SAN_FLAGS) -MMD -MP -c -o $@ $<

# Rebuilds everything when the compiler or a flag changes.
FLAGS_NOW = $(CC) $(CXX) $(C_FLAGS) $(CFLAGS) $(CXXFLAGS) $(SAN_FLAGS) $(LDFLAGS)
.PHONY: force
$(O)/flags: force
	@mkdir -p $(@D)
	@printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' | cmp -s - $@ || printf '%s\n' '$(subst ','\'',$(FLAGS_NOW))' > $@

# What results carry: the revision, and a hash of the workloads' code. Rewritten only when it changes.
GIT_REVISION = $(shell git describe --always --dirty --abbrev=12 2>/dev/null || echo $(VERSION))
WORKLOADS_CODE = $(shell cat $(sort $(wildcard workloads/*.[ch] workloads/harness/*.[ch])) | sha256sum | cut -c1-12)
# Without the characters that printf and C would take for their own.
COMPILER_FLAGS = $(strip $(subst \,,$(subst %,,$(subst ",,$(subst ',,$(CFLAGS) $(SAN_FLAGS))))))
BUILD_DEFINES = \#define KMEMBENCH_GIT_REVISION "$(GIT_REVISION)"\n\#define KMEMBENCH_WORKLOADS_CODE "$(WORKLOADS_CODE)"\n\#define KMEMBENCH_COMPILER_FLAGS "$(COMPILER_FLAGS)"\n
$(O)/include/git_revision.h: force
	@mkdir -p $(@D)
	@defines='$(BUILD_DEFINES)'; printf "$$defines" | cmp -s - $@ || printf "$$defines" > $@
$(O)/obj/bench/context.o: $(O)/include/git_revision.h
$(O)/obj/bench/context.o: PC_CFLAGS += -I$(O)/include

# Where plots and schema lie when the build folder is not below the sources.
$(O)/obj/bench/cli.o: PC_CFLAGS += -DKMEMBENCH_SOURCE_DIR='"$(CURDIR)"'

$(PROGRAM): $(OBJ_all)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $(SAN_FLAGS) -pthread -o $@ $^ $(BENCH_LIBS)

$(O)/libkmem.a: $(OBJ_lib)
	$(call say,AR,$@)
	$(Q)rm -f $@ && $(AR) rcs $@ $^

# Never unmapped: a thread's last rseq descriptor may still point into it.
$(O)/libkmem.so: $(OBJ_lib)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $(SAN_FLAGS) -shared -pthread -Wl,-soname,libkmem.so.0 -Wl,-z,nodelete -Wl,-Bsymbolic-functions -o $@ $^ $(HWLOC_LIBS)

ifneq ($(RECORDER),)
# The recorder goes into programs that know nothing of sanitizers.
$(call obj,$(RECORDER_SRC)): SAN_FLAGS :=
$(RECORDER): $(call obj,$(RECORDER_SRC))
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) -shared -pthread -o $@ $^ -ldl
endif

ifneq ($(MALLOC_SO),)
# Exports the C library's names alone, and loads no hwloc into every program.
MALLOC_MAP := allocators/malloc/preload/exports.map
$(MALLOC_SO): $(filter-out %/phys/topology.o,$(OBJ_lib)) $(call obj,$(MALLOC_SRC)) $(MALLOC_MAP)
	$(call say,LINK,$@)
	$(Q)$(CC) $(LDFLAGS) $(SAN_FLAGS) -shared -pthread -Wl,-z,nodelete -Wl,-Bsymbolic-functions -Wl,--sort-section=name -Wl,--version-script=$(MALLOC_MAP) -o $@ $(filter %.o,$^)
endif

compile_commands.json: Makefile $(SRC_lib) $(SRC_adapters) $(SRC_workloads) $(SRC_bench)
	$(Q)tools/compile-commands.sh '$(CC) $(C_FLAGS) $(PC_CFLAGS) $(CFLAGS)' $(filter %.c,$^) > $@

# --- tests: tests/<folder>/test_*.c, each linked with its layer and those below ---
TEST_LIB_FOLDERS := $(LIB_LAYERS)
TEST_SRC  := $(wildcard tests/*/test_*.c)
TEST_HELPERS := $(call obj,$(wildcard tests/lib/*.c))
TEST_BINS := $(patsubst %.c,$(O)/%,$(TEST_SRC))
TEST_SCRIPTS := $(wildcard tests/*/test_*.sh tests/*/test_*.py)
SRC_upto_core := $(SRC_core)
SRC_upto_os := $(SRC_upto_core) $(SRC_os)
SRC_upto_phys := $(SRC_upto_os) $(SRC_phys)
SRC_upto_buddy := $(SRC_upto_phys) $(SRC_buddy)
SRC_upto_slab := $(SRC_upto_buddy) $(SRC_slab)
SRC_upto_vmalloc := $(SRC_upto_slab) $(SRC_vmalloc)
SRC_upto_malloc := $(SRC_upto_vmalloc) $(SRC_malloc)
SRC_upto_peers := $(SRC_lib) $(SRC_adapters)
SRC_upto_workloads := $(SRC_upto_peers) $(SRC_workloads)
SRC_upto_bench := $(SRC_upto_workloads) $(SRC_bench) $(SRC_shim)
TEST_FOLDERS := core os phys buddy slab vmalloc malloc peers workloads bench

define test_rule
$(O)/tests/$(1)/%: $(O)/obj/tests/$(1)/%.o $(call obj,$(SRC_upto_$(1))) $(TEST_HELPERS)
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$$(Q)$$(CC) $$(LDFLAGS) $$(SAN_FLAGS) -pthread -o $$@ $$^ -lcmocka $(if $(filter workloads bench,$(1)),$$(BENCH_LIBS),$$(HWLOC_LIBS) -ldl -lm)
endef
$(foreach f,$(TEST_FOLDERS),$(eval $(call test_rule,$(f))))
.SECONDARY:

# A search over coroutines whose stacks are copied, which no sanitizer could follow.
$(O)/obj/tests/buddy/test_rows_gate_search.o: private SAN_FLAGS :=

.PHONY: tests test test-%
tests: $(TEST_BINS) ## build the tests

test: all tests ## build and run every test; ends in "N passed, N failed"
	$(Q)TEST_TIMEOUT_S=$(TEST_TIMEOUT_S) BUILD=$(O) tools/run-tests.sh $(TEST_BINS) $(TEST_SCRIPTS)

# make test-buddy: the tests of one folder. Scripts run the built program.
test-%: $(TEST_BINS)
	$(Q)TEST_TIMEOUT_S=$(TEST_TIMEOUT_S) BUILD=$(O) tools/run-tests.sh $(filter $(O)/tests/$*/%,$(TEST_BINS))

# --- fuzz targets: tests/fuzz/fuzz_*.c, for libFuzzer (needs clang) ---
FUZZ_BINS := $(patsubst tests/fuzz/%.c,$(O)/fuzz/%,$(wildcard tests/fuzz/fuzz_*.c))
.PHONY: fuzz
fuzz: $(FUZZ_BINS) ## build the fuzz targets (clang; run them as build/fuzz/NAME)
$(O)/fuzz/%: tests/fuzz/%.c $(SRC_upto_workloads)
	@mkdir -p $(@D)
	$(call say,FUZZ,$@)
	$(Q)clang -std=gnu11 $(filter-out -fno-semantic-interposition -W%,$(BASE_FLAGS)) $(PC_CFLAGS) -O1 -g \
		-DOS_PERCPU_RSEQ=0 -fsanitize=fuzzer,address,undefined -o $@ $^ $(HWLOC_LIBS) -ldl -lm

# --- checks ---
.PHONY: check format
check: all ## format, layers, headers, results against the schema, what documents name
	$(Q)CC='$(CC)' FLAGS='$(C_FLAGS) $(PC_CFLAGS)' BUILD=$(O) tools/check.sh

format: ## rewrite all sources in the project's format
	$(Q)git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cc' | xargs clang-format -i

# --- the main job ---
.PHONY: sweep deps
sweep: all ## run the quick sweep, draw its plots and the report
	$(Q)$(PROGRAM) sweep

deps: ## install what is needed (Debian packages; asks sudo where not root)
	$(Q)tools/deps.sh --tests

# --- installation ---
.PHONY: install uninstall
install: all ## install below $(DESTDIR)$(PREFIX)
	$(Q)tools/install.sh '$(DESTDIR)' '$(PREFIX)' '$(O)' '$(VERSION)'
uninstall: ## remove what install put there
	$(Q)tools/install.sh --remove '$(DESTDIR)' '$(PREFIX)' '$(O)' '$(VERSION)'

.PHONY: clean distclean help
clean: ## remove the build folder
	$(Q)rm -rf $(O) compile_commands.json
distclean: clean ## also remove results of earlier runs
	$(Q)rm -rf build build-* $(filter-out results/schema.json results/README.md results/curated,$(wildcard results/*))

help: ## this list
	@awk -F':.*## ' '/^[a-z-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))
	@echo; echo "  settings: O=folder V=1 CC=clang SANITIZE=address|undefined|thread DEVELOPER=1"
	@echo "            PREFIX=$(PREFIX) DESTDIR= CFLAGS='$(CFLAGS)' TEST_TIMEOUT_S=$(TEST_TIMEOUT_S)"

-include $(shell find $(O)/obj -name '*.d' 2>/dev/null)
