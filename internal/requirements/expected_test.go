package requirements

// wanted is one run of rules of a checklist, written down here once more so that
// a rule cannot get lost with its row.
type wanted struct {
	prefix   string
	from, to int
}

// inRows are the rules that have a row each.
var inRows = []wanted{
	// Client authentication.
	{"SI", 1, 15}, {"JS", 1, 21}, {"XS", 1, 26}, {"BU", 1, 22}, {"BE", 1, 20}, {"CA", 1, 16}, {"CJ", 1, 14}, {"CX", 1, 10},
	{"MD", 1, 24}, {"AV", 1, 11}, {"ER", 1, 4}, {"14", 1, 25}, {"15.2", 1, 10}, {"15.3", 1, 5}, {"A", 1, 18}, {"CL", 1, 10},
	{"RS", 1, 6}, {"20", 1, 11}, {"WS", 1, 20}, {"PP", 1, 15}, {"PP", 20, 22}, {"PP", 30, 30}, {"CW", 1, 9}, {"RF", 1, 13},
	// Authorization server.
	{"GL", 1, 16}, {"TK", 1, 10}, {"EC", 1, 15}, {"CC", 1, 5}, {"AM", 1, 9}, {"KR", 1, 7}, {"AT", 1, 9}, {"MT", 1, 9},
	{"AU", 1, 7}, {"LD", 1, 8}, {"LR", 1, 5}, {"LC", 1, 5}, {"FX", 1, 5},
	{"AZ", 1, 14}, {"RD", 1, 6}, {"RT", 1, 8}, {"IN", 1, 6}, {"RV", 1, 4}, {"DP", 1, 10}, {"RU", 1, 9}, {"PA", 1, 6}, {"JR", 1, 4}, {"IS", 1, 2},
	{"RI", 1, 3}, {"BC", 1, 9},
}

// inSpans are the rules that are open as a whole.
var inSpans = []wanted{
	// Client authentication.
	{"PP", 31, 35}, {"CI", 1, 13},
	// Authorization server.
	{"TX", 1, 15}, {"JB", 1, 6}, {"OP", 1, 3}, {"IJ", 1, 4},
	{"PX", 1, 7}, {"DR", 1, 6}, {"DM", 1, 3}, {"CM", 1, 9},
	{"RA", 1, 5}, {"PR", 1, 4}, {"FA", 1, 16}, {"DV", 1, 4}, {"TT", 1, 24}, {"IC", 1, 10}, {"JG", 1, 4},
	{"WI", 1, 7}, {"SL", 1, 8}, {"SG", 1, 7}, {"CR", 1, 13}, {"PO", 1, 7}, {"AK", 1, 32},
}

// expand lists the ids of runs.
func expand(runs []wanted) map[id]bool {
	all := map[id]bool{}
	for _, w := range runs {
		for n := w.from; n <= w.to; n++ {
			all[id{w.prefix, n}] = true
		}
	}
	return all
}
