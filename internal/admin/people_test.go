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

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/login"
)

// users has the user alice and answers every change with one error, or with none.
type users struct {
	login.State
	err   error
	given string // whose password changed
}

func (u *users) User(_ context.Context, name string) (login.User, error) {
	if name != "alice" {
		return login.User{}, login.ErrNone
	}
	return login.User{Name: name}, nil
}

func (u *users) AddUser(_ context.Context, n login.User) error {
	u.given = n.Name
	return u.err
}

func (u *users) ChangePassword(ctx context.Context, n login.User) error { return u.AddUser(ctx, n) }

// TestGivePassword: an order that cannot be carried out is told apart from one that
// cannot be carried out now, what cannot be recorded gives nothing (GL-15), and no
// answer repeats the password.
func TestGivePassword(t *testing.T) {
	const (
		sound = `{"name":"bob","password":"correct horse battery staple"}`
		full  = "/dev/full"
	)
	file := filepath.Join(t.TempDir(), "audit.jsonl")
	for _, row := range []struct {
		name, user, body, file string
		err                    error
		status                 int
		given, want            string
		lines                  string // outcomes
	}{
		{"a new user", "", sound, file, nil, http.StatusOK, "bob", "{}", "granted"},
		{"CC-3 a name that is none", "", `{"name":"spiffe://a/b","password":"correct horse battery staple"}`, file, nil, http.StatusBadRequest, "", "the name of a user must be", ""},
		{"a short password", "", `{"name":"bob","password":"staple"}`, file, nil, http.StatusBadRequest, "", "at least 12 characters", ""},
		{"not JSON", "", "correct horse battery staple", file, nil, http.StatusBadRequest, "", "did not arrive", ""},
		{"too long", "", `{"name":"bob","password":"` + strings.Repeat("a", maxPasswordBody) + `"}`, file, nil, http.StatusBadRequest, "", "too long", ""},
		{"there already", "", strings.Replace(sound, "bob", "alice", 1), file, nil, http.StatusConflict, "", "a user of that name", ""},
		{"one too many", "", sound, file, login.ErrFull, http.StatusConflict, "bob", "there are 10000 users", "granted refused"},
		{"GL-15 the store fails", "", sound, file, errors.New("the disk is full"), http.StatusServiceUnavailable, "bob", "the disk is full", "granted refused"},
		{"GL-15 not recorded", "", sound, full, nil, http.StatusInternalServerError, "", "it was not done", ""},
		{"another password", "alice", sound, file, nil, http.StatusOK, "alice", "{}", "granted"},
		{"another password of nobody", "bob", sound, file, nil, http.StatusNotFound, "", "there is no user bob", ""},
		{"GL-15 another password, not recorded", "alice", sound, full, nil, http.StatusInternalServerError, "", "it was not done", ""},
	} {
		t.Run(row.name, func(t *testing.T) {
			os.Remove(file)
			log, err := audit.Open(audit.Config{File: row.file, Now: time.Now})
			if err != nil {
				t.Fatal(err)
			}
			people := &users{err: row.err}
			s := &Server{config: Config{People: people, Audit: log, Now: time.Now, Log: slog.New(slog.DiscardHandler)}}
			w, r := httptest.NewRecorder(), httptest.NewRequest(http.MethodPost, "/", strings.NewReader(row.body))
			if row.user == "" {
				s.addUser(w, r)
			} else {
				r.SetPathValue("name", row.user)
				s.changePassword(w, r)
			}
			log.Close()
			if w.Code != row.status || !strings.Contains(w.Body.String(), row.want) || strings.Contains(w.Body.String(), "staple") {
				t.Errorf("%d %s, want %d with %q", w.Code, w.Body, row.status, row.want)
			}
			if people.given != row.given {
				t.Errorf("a password was given to %q, want %q", people.given, row.given)
			}
			recorded, _ := os.ReadFile(file)
			var lines []string
			for _, line := range strings.Split(strings.TrimSpace(string(recorded)), "\n") {
				for _, outcome := range []string{audit.Granted, audit.Refused} {
					if strings.Contains(line, `"outcome":"`+outcome+`"`) {
						lines = append(lines, outcome)
					}
				}
			}
			if got := strings.Join(lines, " "); got != row.lines {
				t.Errorf("recorded %q, want %q", got, row.lines)
			}
		})
	}
}
