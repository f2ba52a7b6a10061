# SPDX-License-Identifier: MIT
"""python3: objects of every kind; the sum depends on contents alone. objects.py [ROUNDS]"""
import hashlib
import json
import re
import sys
import threading

rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 10


class Node:
    def __init__(self, key, left=None, right=None):
        self.key, self.left, self.right = key, left, right


def tree(depth, key=1):
    return None if depth == 0 else Node(key, tree(depth - 1, 2 * key), tree(depth - 1, 2 * key + 1))


def total(node):
    return 0 if node is None else node.key + total(node.left) + total(node.right)


def work(seed):
    digest = hashlib.sha256()
    for r in range(rounds):
        words = ["w%d" % (i * 7919 % (1000 + seed)) for i in range(4000)]
        counts = {}
        for w in words:
            counts[w] = counts.get(w, 0) + 1
        text = json.dumps({k: [v, [v] * (v % 5)] for k, v in sorted(counts.items())})
        digest.update(text.encode())
        digest.update(str(len(json.loads(text))).encode())
        digest.update(re.sub(r"w(\d)", r"\1-", " ".join(words)).encode())
        digest.update(str(total(tree(11))).encode())
        blobs = [bytes((i * 37 + r) % 20000) for i in range(300)]
        digest.update(b"".join(sorted(blobs, key=len)[:50]))
        digest.update(repr(sorted({(i % 13, str(i)) for i in range(1500)})).encode())
        digest.update(str(10 ** (200 + r) // 7 ** 90).encode())
    return digest.hexdigest()


results = {}
threads = [threading.Thread(target=lambda k=k: results.__setitem__(k, work(k))) for k in range(2)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(sorted(results.items()))
