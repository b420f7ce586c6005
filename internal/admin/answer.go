package admin

import (
	"time"

	"github.com/svidgate/svidgate/bundle"
)

// A Bundle is the state of one trust domain's bundle.
type Bundle struct {
	TrustDomain string `json:"trust_domain"`
	Source      string `json:"source"`
	// Ready says that SVIDs are judged by it: there is one, and it is not too old.
	Ready         bool           `json:"ready"`
	AgeSeconds    int64          `json:"age_seconds"`
	MaxAgeSeconds int64          `json:"max_age_seconds,omitempty"` // absent: for ever
	Sequence      *uint64        `json:"sequence,omitempty"`
	Generation    uint64         `json:"generation,omitempty"`
	KeptFromDisk  bool           `json:"kept_from_disk,omitempty"` // and not confirmed by its source since the start
	Keys          map[string]int `json:"keys"`
	Entries       []Entry        `json:"entries,omitempty"`
	LeftOut       []Remark       `json:"left_out,omitempty"`
	Notes         []Remark       `json:"notes,omitempty"`
	Alarms        []string       `json:"alarms,omitempty"`
	LastAttempt   *time.Time     `json:"last_attempt,omitempty"`
	LastSuccess   *time.Time     `json:"last_success,omitempty"`
	LastError     string         `json:"last_error,omitempty"`
	Failures      int            `json:"failures,omitempty"` // in a row
	NextRefresh   *time.Time     `json:"next_refresh,omitempty"`
}

// An Entry is one usable key of a bundle.
type Entry struct {
	Use         string     `json:"use"`
	KeyID       string     `json:"kid,omitempty"`
	Type        string     `json:"type"`
	Subject     string     `json:"subject,omitempty"`
	Fingerprint string     `json:"fingerprint"`
	NotAfter    *time.Time `json:"not_after,omitempty"`
}

// A Remark is about an entry that was left out, or kept with a note.
type Remark struct {
	Index int    `json:"index"` // in `keys`, from 0; -1 for the document itself
	Use   string `json:"use,omitempty"`
	Rule  string `json:"rule"`
	Why   string `json:"why"`
}

// A Difference is between the bundle in use and another one.
type Difference struct {
	TrustDomain    string  `json:"trust_domain"`
	Same           bool    `json:"same"` // both verify the same
	Added          []Entry `json:"added,omitempty"`
	Removed        []Entry `json:"removed,omitempty"`
	SequenceBefore *uint64 `json:"sequence_before,omitempty"`
	SequenceAfter  *uint64 `json:"sequence_after,omitempty"`
	// Warning is what an operator should look into though the bundle was taken.
	Warning string `json:"warning,omitempty"`
}

// problem is the body of an answer that is not a success.
type problem struct {
	Error string `json:"error"`
}

func bundleOf(st bundle.Status) Bundle {
	b := Bundle{
		TrustDomain: st.TrustDomain.Name(), Source: st.Origin,
		Ready:      st.Ready && (st.MaxAge == 0 || st.Age <= st.MaxAge),
		AgeSeconds: int64(st.Age / time.Second), MaxAgeSeconds: int64(st.MaxAge / time.Second),
		Generation: st.Generation, KeptFromDisk: st.KeptFromDisk, Keys: map[string]int{}, Alarms: st.Alarm,
		LastAttempt: moment(st.LastAttempt), LastSuccess: moment(st.LastSuccess), LastError: st.LastError,
		Failures: st.Failures, NextRefresh: moment(st.NextRefresh),
	}
	if st.HasSequence {
		b.Sequence = &st.Sequence
	}
	for use, n := range st.Keys {
		b.Keys[string(use)] = n
	}
	for _, l := range st.LeftOut {
		b.LeftOut = append(b.LeftOut, Remark{l.Index, l.Use, l.Rule, l.Why})
	}
	for _, n := range st.Notes {
		b.Notes = append(b.Notes, Remark{n.Index, n.Use, n.Rule, n.Why})
	}
	return b
}

func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC().Round(0)
	return &t
}

func entriesOf(entries []bundle.Entry) []Entry {
	var all []Entry
	for _, e := range entries {
		all = append(all, Entry{
			Use: string(e.Use), KeyID: e.KeyID, Type: e.Type, Subject: e.Subject, Fingerprint: e.Fingerprint, NotAfter: moment(e.NotAfter),
		})
	}
	return all
}

// differenceOf compares two bundles of one trust domain; before may be nil.
func differenceOf(before, after *bundle.Snapshot) Difference {
	d := bundle.Compare(before, after)
	out := Difference{
		TrustDomain: after.TrustDomain().Name(), Same: len(d.Added)+len(d.Removed) == 0,
		Added: entriesOf(d.Added), Removed: entriesOf(d.Removed),
	}
	if before != nil {
		out.SequenceBefore = sequenceOf(before)
	}
	out.SequenceAfter = sequenceOf(after)
	return out
}

func sequenceOf(s *bundle.Snapshot) *uint64 {
	if sequence, ok := s.Sequence(); ok {
		return &sequence
	}
	return nil
}
