package spoken

import (
	"fmt"
	"time"
)

var units = []struct {
	size time.Duration
	name string
}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}, {time.Second, "s"}}

// Duration is a length of time in at most two units, to the second.
func Duration(d time.Duration) string {
	if d < 0 {
		return "-" + Duration(-max(d, -1<<63+1))
	}
	if d < 1<<62 { // rounding near the end would overflow
		d = d.Round(time.Second)
	}
	for i, u := range units {
		if d < u.size {
			continue
		}
		text := fmt.Sprintf("%d%s", d/u.size, u.name)
		if i+1 < len(units) {
			if rest := d % u.size / units[i+1].size; rest > 0 {
				text += fmt.Sprintf("%d%s", rest, units[i+1].name)
			}
		}
		return text
	}
	return "0s"
}

// Since is how long ago something was, or how soon it will be.
func Since(d time.Duration) string {
	if d < 0 {
		return "in " + Duration(-max(d, -1<<63+1))
	}
	return Duration(d) + " ago"
}

// Count is how many there are of what, a word that takes an s for several.
func Count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
