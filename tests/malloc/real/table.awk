# SPDX-License-Identifier: MIT
# Medians of real_programs.sh --measure as a Markdown table; ratios to the first
# allocator. CPU time is told beside wall time because other work disturbs it less.
function median(key, column,    n, i, k, swap, v) {
	n = count[key]
	for (i = 1; i <= n; i++) v[i] = value[key, column, i]
	for (i = 2; i <= n; i++)
		for (k = i; k > 1 && v[k - 1] > v[k]; k--) { swap = v[k]; v[k] = v[k - 1]; v[k - 1] = swap }
	return n % 2 ? v[(n + 1) / 2] : (v[n / 2] + v[n / 2 + 1]) / 2
}
function minimum(key, column,    i, m) {
	m = value[key, column, 1]
	for (i = 2; i <= count[key]; i++) if (value[key, column, i] < m) m = value[key, column, i]
	return m
}
function ratio(a, b) { return b > 0 ? sprintf("%.3f", a / b) : "-" }
NR == 1 { next }
{
	if (!($1 in program)) { program[$1]; order[++programs] = $1 }
	if (!($2 in allocator)) { allocator[$2]; column_of[++allocators] = $2 }
	key = $1 SUBSEP $2
	n = ++count[key]
	for (c = 5; c <= 8; c++) value[key, c, n] = $c + 0
	if ($4 != 0) failed[key]++
}
END {
	print "| program | malloc | wall s | CPU s | CPU ratio | of minima | peak MiB | ratio | faults |"
	print "| --- | --- | --- | --- | --- | --- | --- | --- | --- |"
	for (p = 1; p <= programs; p++) {
		base = order[p] SUBSEP column_of[1]
		for (a = 1; a <= allocators; a++) {
			key = order[p] SUBSEP column_of[a]
			if (!count[key]) continue
			cpu = median(key, 6); rss = median(key, 7)
			printf "| %s | %s | %.3f | %.3f | %s | %s | %.1f | %s | %d |%s\n", order[p], column_of[a], median(key, 5), cpu,
				ratio(cpu, median(base, 6)), ratio(minimum(key, 6), minimum(base, 6)), rss / 1024,
				ratio(rss, median(base, 7)), median(key, 8), failed[key] ? " " failed[key] " failed" : ""
			logs[a] += log(cpu / median(base, 6)); sizes[a] += log(rss / median(base, 7)); rows[a]++
		}
	}
	for (a = 1; a <= allocators; a++)
		printf "geometric mean %s: CPU %.3f, peak %.3f\n", column_of[a], exp(logs[a] / rows[a]), exp(sizes[a] / rows[a])
}
