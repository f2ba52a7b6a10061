# SPDX-License-Identifier: MIT
# Peak resident bytes: a panel for each cell, a bar for each allocator, the live bytes as
# a dashed line. On a logarithmic axis, which has no zero to start a bar from, dots.
# Index 1: panel title, live bytes. 2: panel, series, middle, low, high, text. 3: 1 where
# the axis is logarithmic.
DATA = ARG1; OUT = ARG2; TERMINAL = ARG3; TITLE = ARG4; SUBTITLE = ARG5; CAPTION = ARG6

# Panels and series decide the height, so they are counted before the terminal is set.
set datafile separator tab
array PANEL_TITLE[40]
array LIVE[40]
PANELS = 0
stats DATA index 1 using (PANELS = PANELS + 1, PANEL_TITLE[PANELS] = strcol(1), LIVE[PANELS] = $2, 1) nooutput
NR_SERIES = 0
stats DATA index 0 using (NR_SERIES = NR_SERIES + 1, 1) nooutput
HEIGHT = int((PANELS + 1) / 2) * (NR_SERIES * 44 + 90) + 150
HEIGHT = HEIGHT > 800 ? 800 : HEIGHT
load ARG0[1:strlen(ARG0) - strlen("memory.gp")]."common.gp"

# Before any range is set, as stats obeys ranges.
array LARGEST[40]
array SMALLEST[40]
do for [p = 1:PANELS] {
    stats DATA index 2 using ($1 == p ? $3 : NaN) nooutput
    LARGEST[p] = STATS_max > LIVE[p] ? STATS_max : LIVE[p]
    SMALLEST[p] = STATS_min < LIVE[p] ? STATS_min : LIVE[p]
    # A label stands behind the whisker.
    stats DATA index 2 using ($1 == p ? $5 : NaN) nooutput
    LARGEST[p] = STATS_max > LARGEST[p] ? STATS_max : LARGEST[p]
}
LOGARITHMIC = 0
stats DATA index 3 using (LOGARITHMIC = int($1), 1) nooutput

# Names stand at the left of each panel: no key.
NAMES_PX = NAME_CHARS * 7.4 + 20
NAMES_PX = NAMES_PX > 330 ? 330 : NAMES_PX
LEFT = wpx(NAMES_PX + 20)
GAP_X = wpx(NAMES_PX + 30)
RIGHT = 1 - wpx(30)
GAP_Y = px(64)
PANEL_BOTTOM = BOTTOM + px(36)
@panels_layout

if (LOGARITHMIC) { set label 1002 SUBTITLE."; logarithmic" }
set multiplot
set yrange [SERIES + 0.6:0.4]
# Thick bars say no more than thin ones: at most 26 pixels.
ROW_PX = panel_h(0) * HEIGHT / (SERIES + 0.2)
HALF = 13.0 / ROW_PX < 0.36 ? 13.0 / ROW_PX : 0.36
set ytics () textcolor rgb TEXT
do for [i = 1:SERIES] { set ytics add (S_NAME[i] i) }
set ytics scale 0
set grid noytics
set style fill solid 0.85 noborder
do for [p = 1:PANELS] {
    set lmargin at screen panel_left(p); set rmargin at screen panel_right(p)
    set tmargin at screen panel_top(p); set bmargin at screen panel_bottom(p)
    set label 1 PANEL_TITLE[p] at graph 0, screen panel_top(p) + px(12) left textcolor rgb TEXT
    MAX = LARGEST[p]
    MIN = SMALLEST[p]
    if (LOGARITHMIC) {
        set logscale x 2
        DECADES = log(MAX / MIN) / log(2)
        X_LOW = MIN / 2.0
        set xrange [X_LOW:MAX * 2.0**(1 + DECADES * 0.45)]
        STEP = 2.0**(int(DECADES / 5) + 1)
        FIRST = 2.0**(floor(log(X_LOW) / log(2)) + 1)
        set xtics ()
        do for [t = 0:6] { if (FIRST * STEP**t <= MAX * 2) { set xtics add (bytes(FIRST * STEP**t) FIRST * STEP**t) } }
    } else {
        X_LOW = 0
        set xrange [0:MAX * 1.38]
        STEP = byte_step(MAX)
        set xtics ()
        do for [t = 0:6] { if (STEP * t <= MAX * 1.1) { set xtics add (bytes(STEP * t) STEP * t) } }
    }
    set arrow 1 from LIVE[p], graph 0 to LIVE[p], graph 1 nohead front dashtype 2 lw 1.5 lc rgb "#000000"
    plot for [i = 1:SERIES] DATA index 2 using \
            ($1 == p && $2 == i && !LOGARITHMIC ? $3 / 2 : NaN):2:($3 / 2):(HALF) with boxxyerror lc rgb S_COLOUR[i], \
        for [i = 1:SERIES] DATA index 2 using \
            ($1 == p && $2 == i && LOGARITHMIC ? X_LOW : NaN):2:($3 - X_LOW):(0) with vectors nohead lw 1.5 lc rgb S_COLOUR[i], \
        for [i = 1:SERIES] DATA index 2 using \
            ($1 == p && $2 == i && LOGARITHMIC ? $3 : NaN):2 with points linetype (100 + i), \
        DATA index 2 using ($1 == p ? $3 : NaN):2:4:5 with xerrorbars pt -1 lw 1.2 lc rgb "#333333", \
        DATA index 2 using ($1 == p ? ($5 > LIVE[p] || $5 < LIVE[p] * 0.62 ? $5 : LIVE[p]) : NaN):2:6 \
            with labels left offset character 0.8, 0 textcolor rgb TEXT font SMALL_FONT
    do for [l = 1001:1003] { unset label l }
}
unset multiplot
