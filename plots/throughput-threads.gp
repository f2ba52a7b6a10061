# SPDX-License-Identifier: MIT
# Operations per second of all threads together, by number of threads.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6
HERE = ARG0[1:strlen(ARG0) - strlen("throughput-threads.gp")]
X_LABEL = "threads"
load HERE."common.gp"
load HERE."lines.gp"
