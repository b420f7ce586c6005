package admin

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/login"
)

// added answers every new user with one error, or with none.
type added struct {
	login.State
	err error
}

func (a added) AddUser(context.Context, login.User) error { return a.err }

// TestAddUser: an order that cannot be carried out is told apart from one that cannot
// be carried out now, and no answer repeats the password.
func TestAddUser(t *testing.T) {
	const sound = "correct horse battery staple"
	log, err := audit.Open(audit.Config{File: filepath.Join(t.TempDir(), "audit.jsonl"), Now: time.Now})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for _, row := range []struct {
		name, body string
		err        error
		status     int
		want       string
	}{
		{"sound", `{"name":"alice","password":"` + sound + `"}`, nil, http.StatusOK, "{}"},
		{"CC-3 a name that is none", `{"name":"spiffe://a/b","password":"` + sound + `"}`, nil, http.StatusBadRequest, "the name of a user must be"},
		{"a short password", `{"name":"alice","password":"staple"}`, nil, http.StatusBadRequest, "at least 12 characters"},
		{"not JSON", sound, nil, http.StatusBadRequest, "did not arrive"},
		{"too long", `{"name":"alice","password":"` + strings.Repeat("a", maxPasswordBody) + `"}`, nil, http.StatusBadRequest, "too long"},
		{"there already", `{"name":"alice","password":"` + sound + `"}`, login.ErrExists, http.StatusConflict, "a user of that name"},
		{"one too many", `{"name":"alice","password":"` + sound + `"}`, login.ErrFull, http.StatusConflict, "there are 10000 users"},
		{"GL-15 the store fails", `{"name":"alice","password":"` + sound + `"}`, errors.New("the disk is full"), http.StatusServiceUnavailable, "the disk is full"},
	} {
		t.Run(row.name, func(t *testing.T) {
			s := &Server{config: Config{People: added{err: row.err}, Audit: log, Now: time.Now, Log: slog.New(slog.DiscardHandler)}}
			w := httptest.NewRecorder()
			s.addUser(w, httptest.NewRequest(http.MethodPost, "/users", strings.NewReader(row.body)))
			if w.Code != row.status || !strings.Contains(w.Body.String(), row.want) || strings.Contains(w.Body.String(), "staple") {
				t.Errorf("%d %s, want %d with %q", w.Code, w.Body, row.status, row.want)
			}
		})
	}
}
