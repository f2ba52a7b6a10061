/* SPDX-License-Identifier: MIT */
/* Google Benchmark behind the C interface of gbench_shim.h. */
#include "bench/gbench_shim.h"

#include <benchmark/benchmark.h>

#include <vector>

namespace
{

/* Keeps what was measured instead of printing it. */
class CapturingReporter final : public benchmark::BenchmarkReporter
{
      public:
	bool ReportContext(const Context &) override
	{
		return true;
	}

	void ReportRuns(const std::vector<Run> &runs) override
	{
		for (const Run &run : runs) {
			if (run.run_type != Run::RT_Iteration || run.error_occurred)
				continue;
			result.iterations = run.iterations;
			result.real_s = run.real_accumulated_time;
			result.cpu_s = run.cpu_accumulated_time;
			seen = true;
		}
	}

	gbench_result result = {};
	bool seen = false;
};

bool keep_running(void *state)
{
	return static_cast<benchmark::State *>(state)->KeepRunning();
}

} // namespace

int gbench_run(const struct gbench_request *request, struct gbench_result *result)
{
	CapturingReporter reporter;

	benchmark::ClearRegisteredBenchmarks();
	auto *b = benchmark::RegisterBenchmark(
		request->name, [request](benchmark::State &state) {
			request->body(request->arg,
				      static_cast<unsigned int>(state.thread_index()),
				      keep_running, &state);
		});
	/* CPU time of the whole process: workloads may start threads of their own. */
	b->Threads(static_cast<int>(request->threads))
		->UseRealTime()
		->MeasureProcessCPUTime();
	if (request->iterations > 0)
		b->Iterations(request->iterations);
	else
		b->MinTime(request->min_time_s);
	benchmark::RunSpecifiedBenchmarks(&reporter);
	benchmark::ClearRegisteredBenchmarks();
	if (!reporter.seen)
		return -1;
	*result = reporter.result;
	return 0;
}

const char *gbench_version(void)
{
#ifdef BENCHMARK_VERSION
	return BENCHMARK_VERSION;
#else
	return "unknown";
#endif
}
