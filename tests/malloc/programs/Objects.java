// SPDX-License-Identifier: MIT
// java: native buffers, compression, threads; the heap itself is the machine's own.
import java.nio.ByteBuffer;
import java.util.*;
import java.util.concurrent.*;
import java.util.zip.*;

public class Objects {
	static long work(int seed) throws Exception {
		long sum = 0;
		List<ByteBuffer> kept = new ArrayList<>();
		for (int i = 0; i < 400; i++) {
			ByteBuffer b = ByteBuffer.allocateDirect(1 + (seed * 31 + i * 977) % 60000);
			b.put(0, (byte) i);
			kept.add(b);
			if (kept.size() > 100) sum += kept.remove((seed + i) % 100).get(0);
			Deflater d = new Deflater();
			d.setInput(new byte[5000 + i]); d.finish();
			byte[] out = new byte[6000];
			int n = d.deflate(out); d.end();
			Inflater f = new Inflater();
			f.setInput(out, 0, n);
			sum += f.inflate(new byte[8000]); f.end();
		}
		return sum;
	}
	public static void main(String[] args) throws Exception {
		ExecutorService pool = Executors.newFixedThreadPool(4);
		List<Future<Long>> all = new ArrayList<>();
		for (int i = 0; i < 12; i++) { final int s = i; all.add(pool.submit(() -> work(s))); }
		for (Future<Long> f : all) System.out.println(f.get());
		pool.shutdown();
	}
}
