# SPDX-License-Identifier: MIT
# Whole programs: a row for each, a panel for CPU time and one for memory, a dot for each
# allocator at its ratio to the baseline, on logarithmic axes.
# Index 1: row, label. 2: panel, row, series, ratio, low, high. 3: panel, title.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6

# Rows and series decide the height, so they are counted before the terminal is set.
set datafile separator tab
array ROW[50]
NR_ROWS = 0
ROW_CHARS = 0
stats DATA index 1 using (NR_ROWS = NR_ROWS + 1, ROW[NR_ROWS] = strcol(2), \
    ROW_CHARS = (strlen(ROW[NR_ROWS]) > ROW_CHARS ? strlen(ROW[NR_ROWS]) : ROW_CHARS), 1) nooutput
NR_SERIES = 0
stats DATA index 0 using (NR_SERIES = NR_SERIES + 1, 1) nooutput
array PANEL_TITLE[4]
PANELS = 0
stats DATA index 3 using (PANELS = PANELS + 1, PANEL_TITLE[PANELS] = strcol(2), 1) nooutput
ROW_PX = 5 * NR_SERIES + 8
ROW_PX = ROW_PX < 30 ? 30 : ROW_PX > 60 ? 60 : ROW_PX
HEIGHT = int(ROW_PX * NR_ROWS + 230)
HEIGHT = HEIGHT < 420 ? 420 : HEIGHT
load ARG0[1:strlen(ARG0) - strlen("programs.gp")]."common.gp"

# Before any range is set, as stats obeys ranges.
array LOW[4]
array HIGH[4]
do for [p = 1:PANELS] {
    stats DATA index 2 using ($1 == p ? $5 : NaN) nooutput
    LOW[p] = STATS_min < 0.9 ? STATS_min : 0.9
    stats DATA index 2 using ($1 == p ? $6 : NaN) nooutput
    HIGH[p] = STATS_max > 1.1 ? STATS_max : 1.1
}
LABELS_PX = ROW_CHARS * 7.6 + 20
X0 = wpx(LABELS_PX + 24)
GAP = wpx(30)
W = (RIGHT - X0 - GAP * (PANELS - 1)) / PANELS

set multiplot
set tmargin at screen TOP - px(44)
set bmargin at screen BOTTOM + px(60)
set logscale x
set yrange [NR_ROWS + 0.5:0.5]
set border 1
set grid noytics
# Dots of a row are spread over two thirds of its height, in the order of the key.
place(row, i) = row + (SERIES > 1 ? ((i - 1.0) / (SERIES - 1) - 0.5) * 0.66 : 0)
set xlabel "ratio to the baseline (logarithmic)"
do for [p = 1:PANELS] {
    set lmargin at screen X0 + (p - 1) * (W + GAP)
    set rmargin at screen X0 + (p - 1) * (W + GAP) + W
    set label 1 PANEL_TITLE[p] at graph 0, screen TOP - px(24) left textcolor rgb TEXT
    set xrange [LOW[p] / 1.04:HIGH[p] * 1.04]
    set ytics () textcolor rgb TEXT
    set ytics scale 0
    do for [r = 1:NR_ROWS] {
        NAME = p == 1 ? ROW[r] : ""
        set ytics add (NAME r)
        if (r % 2 == 1) {
            set object r rectangle from graph 0, first r - 0.5 to graph 1, first r + 0.5 behind \
                fillcolor rgb (ROW[r] eq "geometric mean" ? "#fdf3e3" : "#f4f4f6") fillstyle solid noborder
        }
    }
    # Tics by precedence, each where it keeps 46 pixels from those before it.
    CANDIDATES = "1 0.5 2 0.7 1.5 0.2 5 0.1 10 0.8 1.25 0.9 1.1 3 0.95 1.05 0.85 1.15 0.6 1.75"
    APART = 46.0 * log(HIGH[p] / LOW[p] * 1.08) / (W * WIDTH)
    array TIC[30]
    TICS_SET = 0
    do for [c in CANDIDATES] {
        FREE = (c + 0 >= LOW[p] / 1.04 && c + 0 <= HIGH[p] * 1.04)
        do for [t = 1:TICS_SET] { FREE = FREE && abs(log(c) - log(TIC[t])) >= APART }
        if (FREE) { TICS_SET = TICS_SET + 1; TIC[TICS_SET] = c + 0 }
    }
    set xtics ()
    do for [t = 1:TICS_SET] { set xtics add (sprintf("%g×", TIC[t]) TIC[t]) }
    set arrow 1 from 1, graph 0 to 1, graph 1 nohead lw 1.6 lc rgb "#444444" back
    plot for [i = 1:SERIES] DATA index 2 using ($1 == p && $3 == i ? $4 : NaN):(place($2, $3)):5:6 \
            with xerrorbars lc rgb S_COLOUR[i] lw 1.3 pt -1, \
        for [i = 1:SERIES] DATA index 2 using ($1 == p && $3 == i ? $4 : NaN):(place($2, $3)) \
            with points linetype (100 + i)
    do for [l = 1001:1003] { unset label l }
}
@draw_key
unset multiplot
