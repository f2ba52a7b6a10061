# SPDX-License-Identifier: MIT
# A dot plot after Cleveland: a row for each cell, a dot for each allocator at its ratio to
# the baseline, on a logarithmic axis.
# Index 1: row, label. 2: row, series, ratio, low, high, 1 where the row is complete.
# 3: row, series of what failed there (row 0: nothing).
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6

# Rows and series decide the height, so they are counted before the terminal is set.
set datafile separator tab
array ROW[100]
NR_ROWS = 0
ROW_CHARS = 0
stats DATA index 1 using (NR_ROWS = NR_ROWS + 1, ROW[NR_ROWS] = strcol(2), \
    ROW_CHARS = (strlen(ROW[NR_ROWS]) > ROW_CHARS ? strlen(ROW[NR_ROWS]) : ROW_CHARS), 1) nooutput
NR_SERIES = 0
stats DATA index 0 using (NR_SERIES = NR_SERIES + 1, 1) nooutput
ROW_PX = 4.6 * NR_SERIES + 8
ROW_PX = ROW_PX < 34 ? 34 : ROW_PX > 70 ? 70 : ROW_PX
HEIGHT = int(ROW_PX * NR_ROWS + 220)
HEIGHT = HEIGHT < 25 * NR_SERIES + 220 ? 25 * NR_SERIES + 220 : HEIGHT
HEIGHT = HEIGHT < 420 ? 420 : HEIGHT
load ARG0[1:strlen(ARG0) - strlen("summary.gp")]."common.gp"

stats DATA index 2 using 4 nooutput
LOW = STATS_min < 0.9 ? STATS_min : 0.9
stats DATA index 2 using 5 nooutput
HIGH = STATS_max > 1.1 ? STATS_max : 1.1
# What failed stands as its mark in a strip at the right.
array FAILED_ROW[1000]
array FAILED_SERIES[1000]
FAILURES = 0
stats DATA index 3 using ($1 > 0 ? (FAILURES = FAILURES + 1, FAILED_ROW[FAILURES] = $1, FAILED_SERIES[FAILURES] = int($2), 1) : 0) nooutput
STRIP = FAILURES > 0 ? wpx(56) : 0
LABELS_PX = ROW_CHARS * 7.6 + 20
LABELS_PX = LABELS_PX > 420 ? 420 : LABELS_PX

set multiplot
set lmargin at screen wpx(LABELS_PX + 24)
set rmargin at screen RIGHT - STRIP
set tmargin at screen TOP - px(24)
set bmargin at screen BOTTOM + px(64)
set logscale x
set xrange [LOW / 1.12:HIGH * 1.12]
set yrange [NR_ROWS + 0.5:0.5]
set border 1
set xlabel "time per operation, ratio to the baseline (logarithmic)"
set xtics ()
do for [e = -6:6] { do for [m in steps(HIGH / LOW)] { set xtics add (sprintf("%g×", m * 10.0**e) m * 10.0**e) } }
unset ytics
set ytics () textcolor rgb TEXT
do for [r = 1:NR_ROWS] { set ytics add (ROW[r] r) }
set ytics scale 0
set grid noytics
do for [r = 1:NR_ROWS] {
    if (r % 2 == 1) {
        set object r rectangle from graph 0, first r - 0.5 to graph 1, first r + 0.5 behind \
            fillcolor rgb (ROW[r] eq "geometric mean" ? "#fdf3e3" : "#f4f4f6") fillstyle solid noborder
    }
}
set arrow 1 from 1, graph 0 to 1, graph 1 nohead lw 1.6 lc rgb "#444444" back
# Dots of a row are spread over two thirds of its height, in the order of the key.
place(row, i) = row + (SERIES > 1 ? ((i - 1.0) / (SERIES - 1) - 0.5) * 0.66 : 0)
if (FAILURES > 0) {
    set label 200 "failed" at screen RIGHT - STRIP / 2, screen TOP - px(12) center textcolor rgb "#b00020" font SMALL_FONT
    do for [f = 1:FAILURES] {
        set label (200 + f) "" at screen RIGHT - STRIP / 2, first place(FAILED_ROW[f], FAILED_SERIES[f]) \
            point linetype (100 + FAILED_SERIES[f])
    }
}
plot for [i = 1:SERIES] DATA index 2 using ($2 == i ? $3 : NaN):(place($1, $2)):4:5 \
        with xerrorbars lc rgb S_COLOUR[i] lw 1.3 pt -1, \
    for [i = 1:SERIES] DATA index 2 using ($2 == i && $6 == 1 ? $3 : NaN):(place($1, $2)) \
        with points linetype (100 + i), \
    for [i = 1:SERIES] DATA index 2 using ($2 == i && $6 == 0 ? $3 : NaN):(place($1, $2)) \
        with points lc rgb S_COLOUR[i] pt 6 ps S_SIZE[i] lw 2
do for [l = 1001:1003] { unset label l }
@draw_key
unset multiplot
