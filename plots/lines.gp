# SPDX-License-Identifier: MIT
# Panels of lines with error bars, for throughput-threads.gp and time-size.gp, which set
# X_LABEL.
# Index 1: panel, title. 2: tics of x and their labels. 3: panel, series, x, middle, low,
# high. 4: 1 where the axis of y is logarithmic.
array PANEL_TITLE[20]
PANELS = 0
stats DATA index 1 using (PANELS = PANELS + 1, PANEL_TITLE[PANELS] = strcol(2), 1) nooutput
array TIC[100]
array TIC_LABEL[100]
NR_TICS = 0
stats DATA index 2 using (NR_TICS = NR_TICS + 1, TIC[NR_TICS] = $1, TIC_LABEL[NR_TICS] = strcol(2), 1) nooutput
stats DATA index 3 using 3 nooutput
X_MIN = STATS_min
X_MAX = STATS_max
LOGARITHMIC = 0
stats DATA index 4 using (LOGARITHMIC = int($1), 1) nooutput

# Before any range is set, as stats obeys ranges.
array LARGEST[20]
array SMALLEST[20]
do for [p = 1:PANELS] {
    stats DATA index 3 using ($1 == p ? $6 : NaN) nooutput
    LARGEST[p] = STATS_max
    stats DATA index 3 using ($1 == p ? $5 : NaN) nooutput
    SMALLEST[p] = STATS_min
}

@panels_layout
if (LOGARITHMIC) { set label 1002 SUBTITLE."; logarithmic" }
set multiplot
set logscale x 2
set xrange [X_MIN / 1.15:X_MAX * 1.15]
set xtics ()
do for [i = 1:NR_TICS] { set xtics add (TIC_LABEL[i] TIC[i]) }
if (LOGARITHMIC) { set logscale y 10 }
do for [p = 1:PANELS] {
    set lmargin at screen panel_left(p); set rmargin at screen panel_right(p)
    set tmargin at screen panel_top(p); set bmargin at screen panel_bottom(p)
    set label 1 PANEL_TITLE[p] at graph 0, screen panel_top(p) + px(14) left textcolor rgb TEXT
    BELOW = p > PANELS - COLUMNS ? X_LABEL : ""
    set xlabel BELOW
    if (LOGARITHMIC) {
        set yrange [SMALLEST[p] / 1.25:LARGEST[p] * 1.25]
        set ytics ()
        do for [e = -6:9] {
            do for [m in steps(LARGEST[p] / SMALLEST[p] / (ROWS == 1 ? 3 : ROWS == 2 ? 1 : 0.4))] {
                set ytics add (sprintf("%g", m * 10.0**e) m * 10.0**e)
            }
        }
    } else {
        set yrange [0:LARGEST[p] * 1.06]
    }
    plot for [i = 1:SERIES] DATA index 3 using ($1 == p && $2 == i ? $3 : NaN):4:5:6 \
        with yerrorbars lc rgb S_COLOUR[i] lw 1.2 pt -1, \
        for [i = 1:SERIES] DATA index 3 using ($1 == p && $2 == i ? $3 : NaN):4 \
        with linespoints linetype (100 + i)
    do for [l = 1001:1003] { unset label l }
}
@draw_key
unset multiplot
