# SPDX-License-Identifier: MIT
# Time per operation and thread, by the size asked for.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6
HERE = ARG0[1:strlen(ARG0) - strlen("time-size.gp")]
X_LABEL = "size"
load HERE."common.gp"
load HERE."lines.gp"
