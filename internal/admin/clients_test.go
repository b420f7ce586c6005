package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/spiffe/go-spiffe/v2/spiffeid"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/registration"
	"github.com/svidgate/svidgate/internal/store/sqlite"
)

const gone = "spiffe://example.org/gone"

// orders carries out an operator's orders on blocks and tombstones with a real ledger.
type orders struct {
	Clients
	ledger  *registration.Ledger
	records registration.Records
	late    error // of what MayApprove and MayUnblock did not see
}

func (o *orders) record() registration.Record {
	id := spiffeid.RequireFromString(gone)
	now := time.Now()
	return registration.Record{Kind: registration.FirstUseKind, State: registration.Active, ClientID: gone, SPIFFEID: id, Created: now, Used: now, Provenance: registration.Provenance{Approved: now}}
}

func (o *orders) MayApprove(context.Context, string, string) (ClientRecord, error) {
	return ClientRecord{SPIFFEID: gone, TrustDomain: "example.org"}, nil
}

func (o *orders) Approve(ctx context.Context, _, _ string) (ClientRecord, error) {
	if o.late != nil {
		return ClientRecord{}, o.late
	}
	_, err := o.records.ApproveClient(ctx, o.record(), registration.Quota{MaxClients: 10, Idle: registration.DefaultIdle})
	return ClientRecord{SPIFFEID: gone, TrustDomain: "example.org"}, err
}

func (o *orders) MayUnblock(ctx context.Context, id string) error {
	return o.ledger.MayUnblock(ctx, id)
}

func (o *orders) Unblock(ctx context.Context, id string) error {
	if o.late != nil {
		return o.late
	}
	return o.ledger.Unblock(ctx, id)
}

func (o *orders) Block(ctx context.Context, id, reason, by string) error {
	return o.ledger.Block(ctx, registration.Block{Subject: id, Reason: reason, By: by})
}

// TestWhatGivesAccessIsRecordedBefore: GL-15: what cannot be recorded gives nothing,
// and what takes access is done all the same.
func TestWhatGivesAccessIsRecordedBefore(t *testing.T) {
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, row := range []struct {
		name, file, event string
		late              error
		status            int
		done              bool
		lines             []string // outcomes
	}{
		{"approve", file, audit.EventClientApprove, nil, 200, true, []string{"granted"}},
		{"approve, not recorded", "/dev/full", audit.EventClientApprove, nil, 500, false, nil},
		{"approve, recorded and not done", file, audit.EventClientApprove, errors.New("the disk is full"), 409, false, []string{"granted", "refused"}},
		{"unblock", file, audit.EventClientUnblock, nil, 200, true, []string{"granted"}},
		{"unblock, not recorded", "/dev/full", audit.EventClientUnblock, nil, 500, false, nil},
		{"unblock, recorded and not done", file, audit.EventClientUnblock, errors.New("the disk is full"), 409, false, []string{"granted", "refused"}},
		{"block", file, audit.EventClientBlock, nil, 200, true, []string{"granted"}},
		{"block, not recorded", "/dev/full", audit.EventClientBlock, nil, 500, true, nil},
	} {
		t.Run(row.name, func(t *testing.T) {
			os.Remove(file)
			db, err := sqlite.Open(t.Context(), sqlite.Config{Address: "memory:", Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			o := &orders{records: db, late: row.late}
			if o.ledger, err = registration.OpenLedger(t.Context(), db, time.Now, slog.New(slog.DiscardHandler)); err != nil {
				t.Fatal(err)
			}
			switch row.event {
			case audit.EventClientUnblock:
				err = o.ledger.Block(t.Context(), registration.Block{Subject: gone})
			case audit.EventClientApprove:
				if _, _, err = db.RegisterClient(t.Context(), o.record(), registration.Quota{MaxClients: 10, Idle: registration.DefaultIdle}); err == nil {
					_, err = o.ledger.Delete(t.Context(), registration.Block{Subject: gone})
				}
			}
			if err != nil {
				t.Fatal(err)
			}
			log, err := audit.Open(audit.Config{File: row.file, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			s := &Server{config: Config{Clients: o, Audit: log, Log: slog.New(slog.DiscardHandler)}}
			w := httptest.NewRecorder()
			s.clientOrder(row.event)(w, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(`{"id":"`+gone+`"}`)))
			log.Close()
			blocks, err := db.BlocksOf(t.Context(), gone)
			if err != nil {
				t.Fatal(err)
			}
			if done := (len(blocks) > 0) == (row.event == audit.EventClientBlock); w.Code != row.status || done != row.done {
				t.Errorf("status %d %s; done is %v", w.Code, w.Body, done)
			}
			if row.file != file {
				return
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if n := strings.Count(string(text), `"spiffe_id":"`+gone+`"`); row.event == audit.EventClientApprove && n != len(row.lines) {
				t.Errorf("AU-1 %d lines have the SPIFFE ID: %s", n, text)
			}
			for _, outcome := range []string{"granted", "refused"} {
				want := 0
				for _, one := range row.lines {
					if one == outcome {
						want++
					}
				}
				if n := strings.Count(string(text), `"outcome":"`+outcome+`"`); n != want {
					t.Errorf("%d lines are %s, want %d: %s", n, outcome, want, text)
				}
			}
		})
	}
}
