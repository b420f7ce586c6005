package main

import (
	"fmt"
	"slices"
)

// expiring are the tables whose rows end within a day.
var expiring = []string{"grants", "pushed_requests", "login_sessions", "login_attempts", "login_tries", "revocations", "client_changes"}

// steady are those that have as many at hour 24 as at hour 6: nobody was added.
var steady = []string{"login_users", "login_consents", "client_blocks", "documents"}

// enough is how many tokens a day must have for its memory to be judged: with fewer,
// what is remembered up to a number is not full by hour 6.
const enough = fullDay / 2

// judge says what is not as it should be: at hour 24 there is a tenth more than at hour
// 6 of rows that expire, of bytes of the store, of heap or of resident memory. Chance
// and what the system does with memory have a little more where there is little. Of
// clients that registered there are exactly as many as came.
func judge(looks []look, tokens, newcomers int) (faults []string) {
	early, ok := hourly(looks, 6)
	late, ended := hourly(looks, 24)
	if !ok || !ended {
		return []string{"the day did not come to its end"}
	}
	grows := func(what string, before, after, chance float64) {
		if after > before*1.1+chance {
			faults = append(faults, fmt.Sprintf("%s: %.0f at hour 6, %.0f at hour 24", what, before, after))
		}
	}
	for _, table := range expiring {
		grows("rows of "+table, early.rows[table], late.rows[table], 40)
	}
	for _, table := range steady {
		grows("rows of "+table, early.rows[table], late.rows[table], 0)
	}
	for table := range late.rows {
		if table != "client_records" && table != "client_counts" && table != "client_archive" && !slices.Contains(expiring, table) && !slices.Contains(steady, table) {
			faults = append(faults, "nobody says of table "+table+" how many rows it may have")
		}
	}
	if n := late.rows["client_records"]; int(n) != newcomers {
		faults = append(faults, fmt.Sprintf("%d workloads came and %.0f are registered", newcomers, n))
	}
	grows("bytes of the store", float64(early.store), float64(late.store), 256<<10)
	grows("goroutines", float64(early.goroutines), float64(late.goroutines), 20)
	if tokens < enough {
		return faults
	}
	grows("bytes of heap", float64(early.heap), float64(late.heap), 1<<20)
	grows("bytes of resident memory", float64(early.rss), float64(late.rss), 4<<20)
	return faults
}
