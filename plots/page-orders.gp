# SPDX-License-Identifier: MIT
# Time per operation and thread, by the order of the blocks.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6
HERE = ARG0[1:strlen(ARG0) - strlen("page-orders.gp")]
X_LABEL = "order (blocks of 2^order pages)"
load HERE."common.gp"
load HERE."lines.gp"
