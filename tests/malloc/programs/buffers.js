// SPDX-License-Identifier: MIT
// node: buffers, strings, compression and hashes, in workers too. Prints one sum.
const { Worker, isMainThread, parentPort, workerData } = require('worker_threads');
const zlib = require('zlib'), crypto = require('crypto');

function work(seed, rounds) {
  const hash = crypto.createHash('sha256'), kept = [];
  for (let i = 0; i < rounds; i++) {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    const n = (seed >>> 8) % (i % 40 === 0 ? 300000 : 9000);
    const b = Buffer.allocUnsafeSlow(n).fill(seed & 255);
    kept.push(b);
    if (kept.length > 200) hash.update(kept.splice((seed >>> 9) % 200, 1)[0]);
    if (i % 10 === 0) {
      const o = {}; for (let k = 0; k < 300; k++) o['k' + k] = [k, 'v' + (seed % (k + 1))];
      const packed = zlib.deflateSync(JSON.stringify(o));
      hash.update(zlib.inflateSync(packed));
      hash.update(String(new Map(Object.entries(o)).size));
    }
  }
  return hash.digest('hex');
}

if (isMainThread) {
  const rounds = Number(process.argv[2] || 2000), workers = [1, 2, 3, 4];
  const sums = workers.map((w) => new Promise((resolve, reject) => {
    const t = new Worker(__filename, { workerData: { seed: w, rounds } });
    t.on('message', resolve); t.on('error', reject);
  }));
  const own = work(99, rounds);
  Promise.all(sums).then((s) => console.log([own, ...s].join('\n')));
} else {
  parentPort.postMessage(work(workerData.seed, workerData.rounds));
}
