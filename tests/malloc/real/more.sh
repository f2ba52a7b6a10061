# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Further programs for real_programs.sh, most of them optional: interpreters whose every
# object is malloc's, servers of several processes, programs with threads. See programs.sh.

# --- interpreters ---
needs_php() { need php; }
run_php() { # without its own pools: every value is malloc's
	USE_ZEND_ALLOC=0 under php -n -r '$n = (int)$argv[1]; $h = []; $s = 0;
		for ($i = 0; $i < $n; $i++) { $k = "k" . ($i * 7919 % 20011); $h[$k][] = str_repeat("v", $i % 90) . $i;
			if ($i % 3 == 0) unset($h["k" . ($i * 31 % 20011)]); }
		ksort($h); foreach ($h as $k => $v) { $s = crc32($s . $k . json_encode($v)); }
		$t = implode(",", array_map("strrev", array_keys($h)));
		echo count($h), " ", $s, " ", md5(preg_replace("/k(\d)/", "<$1>", $t)), " ", strlen(serialize($h)), "\n";' \
		"$(by_scale 60000 1500000 900000)"
}
needs_ruby() { need ruby; }
run_ruby() {
	under ruby --disable-gems -e 'n = ARGV[0].to_i; require "digest/md5"
		sums = 4.times.map { |t| Thread.new { h = Hash.new { |x, k| x[k] = [] }
			n.times { |i| h["k#{i * 7919 % (4000 + t)}"] << "v" * (i % 300); h.delete("k#{i % 999}") if i % 5 == 0 }
			Digest::MD5.hexdigest(h.sort.flatten.join("|").gsub(/v+/) { |m| m.size.to_s }) } }.map(&:value)
		GC.start; puts sums, (2**n.to_s.size * 3**4000).to_s.size' "$(by_scale 20000 500000 60000)"
}
needs_lua() { need lua5.4; }
run_lua() {
	under lua5.4 - "$(by_scale 60000 2000000 700000)" <<-'LUA'
	local n, t, s = tonumber(arg[1]), {}, 0
	for i = 1, n do
		local k = i * 7919 % 20011
		t[k] = {next = t[i % 20011], text = ("x"):rep(i % 70) .. i}
		if i % 5 == 0 then t[i * 31 % 20011] = nil end
		if t[k] and t[k].next then t[k].next = t[k].next.text end
	end
	local parts = {}
	for k = 0, 20010 do if t[k] then parts[#parts + 1] = t[k].text:sub(-9) .. tostring(t[k].next):sub(1, 20) end end
	local all = table.concat(parts, ",")
	for c in all:gmatch(".") do s = (s * 31 + c:byte()) % 4294967291 end
	print(#parts, #all, s)
	LUA
}
needs_tcl() { need tclsh; }
run_tcl() {
	echo 'set n [lindex $argv 0]; for {set i 0} {$i < $n} {incr i} { lappend l($i) $i; dict set d [expr {$i * 7919 % 5003}] [string repeat x [expr {$i % 50}]]$i }
		puts "[dict size $d] [string length $d] [zlib crc32 [lsort -dictionary [dict values $d]]] [array size l]"' >objects.tcl
	under tclsh objects.tcl "$(by_scale 30000 800000 300000)"
}
needs_jq() { need jq; }
run_jq() {
	awk -v n="$(by_scale 8000 300000 40000)" 'BEGIN { for (i = 0; i < n; i++)
		printf "{\"id\": %d, \"name\": \"name %d\", \"tags\": [\"t%d\", \"t%d\"], \"at\": {\"x\": %d.5, \"y\": [%d, %d]}}\n",
			i, i * 7919 % 10007, i % 97, i % 31, i % 1000, i, i + 1 }' >rows.json
	under jq -c -s 'group_by(.tags[0]) | map({tag: .[0].tags[0], n: length, x: (map(.at.x) | add),
		names: (map(.name) | unique | length)}) | sort_by(.n, .tag)' rows.json | cksum
	under jq 'select(.id % 7 == 0) | .at.y |= map(. * 2) | tojson | ltrimstr("{") | ascii_upcase' rows.json | cksum
}

# --- threads and large blocks ---
needs_compress() { need zstd xz; }
run_compress() {
	awk -v n="$(by_scale 100000 2000000 700000)" 'BEGIN { for (i = 0; i < n; i++) print i * 7919 % 1000003, "line", i }' >lines
	under zstd -q -T4 -"$(by_scale 3 8 8)" lines -o lines.zst && under zstd -q -d -c lines.zst | cmp - lines && cksum lines.zst
	under xz -k -T2 --block-size=2MiB -"$(by_scale 0 2 1)" lines && under xz -d -c lines.xz | cmp - lines && cksum lines.xz
}
needs_rustc() { need rustc; rustc -vV >/dev/null 2>&1 || echo "rustc has no toolchain"; }
run_rustc() { # with a malloc of its own beside ours
	local i
	{
		echo 'use std::collections::*; use std::fmt::Debug;'
		for ((i = 0; i < $(by_scale 5 60 15); i++)); do
			echo "pub fn f$i<T: Debug + Ord + Clone>(v: &[T]) -> BTreeMap<String, Vec<T>> { let mut m = BTreeMap::new();
				for x in v { m.entry(format!(\"{:?} $i\", x)).or_insert_with(Vec::new).push(x.clone()); } m }
				pub fn g$i() -> usize { f$i(&[1u$((8 << i % 4)), $i]).len() + f$i(&[\"a\", \"b$i\"]).len() }"
		done
	} >functions.rs
	under rustc --crate-type=rlib --edition=2021 -C opt-level=2 -C debuginfo=1 functions.rs && cksum libfunctions.rlib
}
needs_vim() { need vim; }
run_vim() {
	awk -v n="$(by_scale 20000 300000 100000)" 'BEGIN { for (i = 0; i < n; i++) print i * 7919 % 1000003, "line", i }' >lines
	under vim -Nu NONE -i NONE -es lines -c '%s/7\(.\)/<\1>/g' -c 'g/99/t.' -c 'sort n' -c '2,$g/0$/m1' -c 'earlier 2' -c 'later 2' -c 'wq'
	cksum lines
}

# --- several processes ---
needs_rsync() { need rsync; }
run_rsync() {
	under rsync -a --delete "$root/allocators" "$root/bench" copy/ && under rsync -a --checksum --itemize-changes "$root/allocators" copy/
	find copy -name '*.c' -exec sh -c 'echo more >>"$1"' - {} \;
	under rsync -a --no-whole-file --ignore-times --inplace "$root/allocators" "$root/bench" copy/
	diff -r "$root/allocators" copy/allocators && diff -r "$root/bench" copy/bench && echo "the same"
}
needs_openssl() { need openssl; }
run_openssl() {
	local i
	awk 'BEGIN { for (i = 0; i < 200000; i++) print i * 7919 % 1000003 }' >lines
	under openssl dgst -sha512 lines
	under openssl enc -aes-256-cbc -pbkdf2 -S 00112233aabbccdd -pass pass:x -in lines | cksum
	under openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key.pem -out cert.pem -subj /CN=x 2>&1 | grep -i error
	for ((i = 0; i < $(by_scale 3 40 10); i++)); do
		under openssl dgst -sha256 -sign key.pem -out lines.sig lines && openssl x509 -in cert.pem -pubkey -noout >public.pem &&
			under openssl dgst -sha256 -verify public.pem -signature lines.sig lines
	done
	under openssl verify -CAfile cert.pem cert.pem
	[ "$scale" = fast ] || { under openssl speed -multi 2 -seconds 1 -evp sha256 >&2; echo "speed ended: $?"; }
}
needs_nginx() { need nginx curl; }
run_nginx() {
	local i pid
	mkdir -p www logs && cp "$root"/bench/*.c www/
	cat >nginx.conf <<-CONF
	daemon off; worker_processes 2; error_log $PWD/logs/error.log; pid $PWD/nginx.pid;
	$([ "$(id -u)" -eq 0 ] && echo 'user root;')
	events { worker_connections 256; }
	http { access_log off; gzip on; gzip_min_length 1; gzip_types *; client_body_temp_path $PWD/b; proxy_temp_path $PWD/p;
	  fastcgi_temp_path $PWD/f; uwsgi_temp_path $PWD/u; scgi_temp_path $PWD/s;
	  server { listen unix:$PWD/nginx.sock; root $PWD/www; location /list/ { alias $PWD/www/; autoindex on; } } }
	CONF
	under nginx -p "$PWD" -e "$PWD/logs/error.log" -c "$PWD/nginx.conf" &
	pid=$!
	for ((i = 0; i < 200; i++)); do [ -s nginx.pid ] && [ -S nginx.sock ] && break; sleep 0.05; done
	for ((i = 0; i < $(by_scale 2 60 10); i++)); do
		(cd www && ls -- *.c | sed 's|.*|url = "http://x/&"|') | curl -s --parallel --compressed --unix-socket nginx.sock -K - |
			tr -d '\n' | wc -c
		[ "$i" -gt 0 ] || { kill -HUP "$(cat nginx.pid)"; sleep 0.2; } # new workers
	done
	curl -s --unix-socket nginx.sock http://x/list/ | grep -c '\.c'
	kill -QUIT "$(cat nginx.pid)"; wait "$pid"; echo "nginx ended: $?"
}
postgres_folder() { local d; for d in /usr/lib/postgresql/*/bin /usr/bin; do [ -x "$d/initdb" ] && { echo "$d"; return; }; done; }
needs_postgres() {
	[ -n "$(postgres_folder)" ] || echo "postgres is not installed"
	[ "$(id -u)" -ne 0 ] || id postgres >/dev/null 2>&1 || echo "there is no user postgres for it to run as"
}
run_postgres() { # it refuses to be run by root
	local bin data i pid as=()
	bin=$(postgres_folder)
	data=$(mktemp -d /tmp/real-postgres.XXXXXX)
	trap 'rm -rf "$data"' EXIT
	[ "$(id -u)" -ne 0 ] || { chown postgres "$data"; as=(setpriv --reuid=postgres --regid=postgres --clear-groups); }
	local env=(env HOME="$data" LC_ALL=C PGHOST="$data" PGUSER=x PGDATABASE=postgres)
	cd "$data" || return
	under "${env[@]}" "${as[@]}" "$bin/initdb" -D "$data/db" -U x -A trust -N >/dev/null || return
	under "${env[@]}" "${as[@]}" "$bin/postgres" -D "$data/db" -k "$data" -c listen_addresses= -c fsync=off \
		-c max_parallel_workers_per_gather=2 -c min_parallel_table_scan_size=0 -c parallel_setup_cost=0 >"$data/log" 2>&1 &
	pid=$!
	for ((i = 0; i < 400; i++)); do "${env[@]}" "$bin/psql" -qc 'select 1' >/dev/null 2>&1 && break; sleep 0.05; done
	"${env[@]}" "$bin/pgbench" -i -q -s 1 >/dev/null 2>&1
	under "${env[@]}" "$bin/pgbench" -n -c 4 -j 2 -t "$(by_scale 50 2000 400)" 2>&1 | grep -c 'actually processed'
	under "${env[@]}" "$bin/psql" -At <<-SQL
	create table t as select i, md5(i::text) m, repeat('x', i % 300) r from generate_series(1, $(by_scale 20000 600000 150000)) i;
	create index on t(m); analyze t;
	select count(*), sum(length(r)), max(m) from t;
	select left(m, 1), count(*), sum(i) from t group by 1 order by 1;
	select md5(string_agg(m, ',' order by m)) from t where i % 7 = 0;
	select count(*) from t a join t b on a.i = b.i * 2 where b.m > '8';
	select jsonb_agg(jsonb_build_object('i', i, 'r', r)) ->> 77 from t where i < 500;
	update t set r = m where i % 3 = 0; vacuum t; select count(*) from t where r = m;
	SQL
	kill -INT "$(head -n 1 "$data/db/postmaster.pid" 2>/dev/null)" 2>/dev/null
	wait "$pid"
	echo "postgres ended: $?"
	grep -aE 'PANIC|FATAL|terminated by signal|kmem: BUG' "$data/log" | grep -v 'starting up\|shutting down'
	cd / || return
}

all_programs="$all_programs php ruby lua tcl jq compress rustc vim rsync openssl nginx postgres"
