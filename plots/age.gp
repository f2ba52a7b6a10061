# SPDX-License-Identifier: MIT
# The fragmentation clock: figures of a heap against the bytes allocated so far. The table
# stands in clock.gp.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6
FOLDER = ARG0[1:strlen(ARG0) - strlen("age.gp")]
load FOLDER."clock.gp"
