# SPDX-License-Identifier: MIT
# Panels of lines against the bytes allocated so far, for age.gp and frag-time.gp, which
# set FOLDER, and may set X_LABEL and PERCENT_MAX; and for numa-fallback.gp, which sets
# X_PERCENT: in place of bytes x is per cent, and 100 is marked.
# Index 1: panel, series, bytes, middle, low, high; an empty line between lines. 2: panel,
# unit (0 per cent, 1 ratio, 2 count, 3 ns), title. 3: the clock's step, ns; what it does
# not tell apart is at half of it.
set datafile separator tab
if (!exists("X_LABEL")) X_LABEL = "bytes allocated so far"
# Where an axis of per cent ends; 0: with its largest value.
if (!exists("PERCENT_MAX")) PERCENT_MAX = 0
array UNIT[20]
array PANEL_TITLE[20]
PANELS = 0
stats DATA index 2 using (PANELS = PANELS + 1, UNIT[PANELS] = $2, PANEL_TITLE[PANELS] = strcol(3), 1) nooutput
HEIGHT = int((PANELS + 1) / 2) * 235 + 190
load FOLDER."common.gp"

stats DATA index 1 using 3 nooutput
X_MAX = STATS_max > 0 ? STATS_max : 1
CLOCK = 1.0
stats DATA index 3 using (CLOCK = $1, 1) nooutput
array LARGEST[20]
array SMALLEST[20]
do for [p = 1:PANELS] {
    stats DATA index 1 using ($1 == p ? $6 : NaN) nooutput
    LARGEST[p] = STATS_max
    stats DATA index 1 using ($1 == p ? $5 : NaN) nooutput
    SMALLEST[p] = STATS_min
}
LEFT = wpx(84)
GAP_X = wpx(84)
GAP_Y = px(60)
@panels_layout
set multiplot
set xrange [0:X_MAX]
X_STEP = byte_step(X_MAX / 1.3)
set xtics ()
if (exists("X_PERCENT")) {
    X_STEP = X_MAX > 250 ? 100.0 * ceil(X_MAX / 500.0) : X_MAX > 120 ? 50 : X_MAX > 60 ? 25 : 10
    do for [t = 0:9] { if (X_STEP * t <= X_MAX) { set xtics add (sprintf("%.0f %%%%", X_STEP * t) X_STEP * t) } }
    if (X_MAX > 100) { set arrow 1 from 100, graph 0 to 100, graph 1 nohead back lc rgb "#999999" dashtype 2 }
} else {
    do for [t = 0:8] { if (X_STEP * t <= X_MAX) { set xtics add (bytes(X_STEP * t) X_STEP * t) } }
}
set style fill transparent solid 0.15 noborder
do for [p = 1:PANELS] {
    set lmargin at screen panel_left(p); set rmargin at screen panel_right(p)
    set tmargin at screen panel_top(p); set bmargin at screen panel_bottom(p)
    set label 1 PANEL_TITLE[p] at graph 0, screen panel_top(p) + px(12) left textcolor rgb TEXT
    BELOW = p > PANELS - COLUMNS ? X_LABEL : ""
    set xlabel BELOW
    unset logscale y
    set ytics autofreq
    # Times differ by factors, and grow by some.
    if (UNIT[p] == 3) {
        TOP_NS = LARGEST[p] > CLOCK * 2 ? LARGEST[p] : CLOCK * 2
        BOTTOM_NS = SMALLEST[p] < TOP_NS / 2 ? SMALLEST[p] : TOP_NS / 2
        set yrange [BOTTOM_NS / 1.25:TOP_NS * 1.25]
        set logscale y
        set ytics ()
        do for [e = 0:9] {
            do for [m in steps(TOP_NS / BOTTOM_NS * 1.5)] {
                if (m * 10.0**e >= CLOCK * 0.97) { set ytics add (ns(m * 10.0**e) m * 10.0**e) }
            }
        }
        if (BOTTOM_NS <= CLOCK * 0.51) { set ytics add (sprintf("<%.3g ns", CLOCK) CLOCK / 2) }
    } else {
        FROM = UNIT[p] == 1 ? (SMALLEST[p] < 1 ? SMALLEST[p] : 1) : 0
        TO = FROM + (LARGEST[p] > FROM ? LARGEST[p] - FROM : 1) * 1.08
        if (UNIT[p] == 0 && PERCENT_MAX > 0) { TO = PERCENT_MAX * 1.03 }
        set yrange [FROM:TO]
        FORMAT = UNIT[p] == 0 ? "%g %%" : UNIT[p] == 1 ? "%g×" : "%.0f"
        set format y FORMAT
    }
    plot for [i = 1:SERIES] DATA index 1 using ($1 == p && $2 == i ? $3 : NaN):5:6 with filledcurves lc rgb S_COLOUR[i], \
        for [i = 1:SERIES] DATA index 1 using ($1 == p && $2 == i ? $3 : NaN):4 with lines linetype (100 + i), \
        for [i = 1:SERIES] DATA index 1 using \
            ($1 == p && $2 == i && int(column(0) + i * 7) % 50 == 0 ? $3 : NaN):4 with points linetype (100 + i)
    do for [l = 1001:1003] { unset label l }
}
@draw_key
unset multiplot
