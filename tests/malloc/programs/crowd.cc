/* SPDX-License-Identifier: MIT */
/*
 * crowd [ROUNDS]: C++ as servers are written. Threads work on strings, maps and
 * vectors, hand each other shared objects, throw through each other, start tasks.
 * Prints a sum that depends on the contents alone, and whether the process grew.
 */
#include <atomic>
#include <cinttypes>
#include <condition_variable>
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <functional>
#include <future>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

namespace
{
/* Built before main(), destroyed after it. */
std::map<std::string, std::vector<int>> names = {{"one", {1}}, {"two", {1, 2}}};
thread_local std::string of_this_thread(100, 't');

using message = std::shared_ptr<std::vector<std::string>>;

class mailbox
{
	std::deque<message> queue;
	std::mutex lock;
	std::condition_variable filled;

      public:
	void put(message m)
	{
		std::lock_guard<std::mutex> guard(lock);
		queue.push_back(std::move(m));
		filled.notify_one();
	}
	message get()
	{
		std::unique_lock<std::mutex> guard(lock);
		filled.wait(guard, [&] { return !queue.empty(); });
		message m = std::move(queue.front());
		queue.pop_front();
		return m;
	}
};

uint64_t mix(uint64_t h, const std::string &s)
{
	return (h ^ std::hash<std::string>()(s)) * 1099511628211u;
}

uint64_t containers(uint32_t seed)
{
	std::unordered_map<std::string, std::vector<uint32_t>> index;
	std::map<uint32_t, std::string> sorted;
	std::list<std::string> lines;
	uint64_t sum = seed;

	for (int i = 0; i < 3000; i++) {
		seed = seed * 1664525 + 1013904223;
		std::string key = "key-" + std::to_string(seed % 700);
		index[key].push_back(seed);
		sorted[seed % 2000] = key + std::string(seed % 90, 'x');
		lines.push_back(key);
		if (lines.size() > 500)
			lines.pop_front();
		if (i % 7 == 0)
			index.erase("key-" + std::to_string(seed % 500));
	}
	for (auto &[k, v] : sorted)
		sum = mix(sum, v) + k;
	uint64_t unordered = 0; /* whose order is the library's affair */
	for (auto &[k, v] : index)
		unordered += mix(v.size(), k);
	std::ostringstream text;
	for (auto &l : lines)
		text << l << ' ' << l.size() << '\n';
	return mix(sum, text.str()) + unordered;
}

uint64_t exceptions(int depth)
{
	std::vector<std::string> held(5,
				      std::string(static_cast<size_t>(depth) * 11, 'e'));

	if (depth == 0)
		throw std::runtime_error(
			"the bottom, with a text that does not fit inside");
	try {
		return exceptions(depth - 1);
	} catch (std::exception &e) {
		if (depth % 2 == 0)
			throw std::runtime_error(std::string(e.what()) + held[0]);
		throw;
	}
}

uint64_t caught()
{
	try {
		return exceptions(20);
	} catch (std::exception &e) {
		return mix(1, e.what());
	}
}

uint64_t crowd(unsigned threads, uint32_t round)
{
	std::vector<mailbox> boxes(threads);
	std::vector<std::thread> workers;
	std::atomic<uint64_t> sum{0};

	for (unsigned id = 0; id < threads; id++)
		workers.emplace_back([&, id] {
			uint64_t mine = 0;
			for (uint32_t i = 0; i < 40; i++) {
				auto m = std::make_shared<std::vector<std::string>>();
				for (uint32_t k = 0; k < 50; k++)
					m->push_back(std::string(
						(i * k + id) % 300,
						static_cast<char>('a' + k % 26)));
				boxes[(id + i) % threads].put(m);
			}
			for (int i = 0; i < 40; i++) {
				message m = boxes[id].get();
				for (auto &s : *m)
					mine += mix(7, s);
			}
			mine += containers(round * 100 + id) + caught();
			of_this_thread += std::to_string(mine);
			sum += mine;
		});
	for (auto &w : workers)
		w.join();
	return sum;
}

uint64_t tasks(uint32_t round)
{
	std::vector<std::future<uint64_t>> results;
	uint64_t sum = 0;

	for (uint32_t i = 0; i < 40; i++)
		results.push_back(std::async(std::launch::async,
					     [=] { return containers(round + i); }));
	for (auto &r : results)
		sum += r.get();
	return sum;
}

long resident_kib()
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	if (f == nullptr || fscanf(f, "%*d %ld", &pages) != 1)
		pages = 0;
	if (f != nullptr)
		fclose(f);
	return pages * 4;
}
} // namespace

int main(int argc, char **argv)
{
	const uint32_t rounds = argc > 1 ? static_cast<uint32_t>(atoi(argv[1])) : 10;
	uint64_t sum = names.size();
	long early = 0;

	for (uint32_t round = 0; round < rounds; round++) {
		sum += crowd(8, round) + tasks(round);
		if (round == rounds / 3)
			early = resident_kib();
	}
	long late = resident_kib();
	printf("%016" PRIx64 "\n%s\n", sum,
	       late > early + early / 4 + 16384 ? "grew" : "did not grow");
	if (late > early + early / 4 + 16384)
		fprintf(stderr, "resident: %ld KiB after a third, %ld at the end\n",
			early, late);
}
