package admin

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"time"

	"github.com/svidgate/svidgate/internal/audit"
	"github.com/svidgate/svidgate/internal/login"
)

// A User is a local user.
type User struct {
	Name            string    `json:"name"`
	Subject         string    `json:"subject"` // who it is in a token
	Created         time.Time `json:"created"`
	PasswordChanged time.Time `json:"password_changed"`
}

// A Consent is what a person lets a client have in their name.
type Consent struct {
	ClientID string    `json:"client_id"`
	Resource string    `json:"resource"`
	Scope    []string  `json:"scope"`
	Given    time.Time `json:"given"`
}

// A newPassword is the body of a request that brings one.
type newPassword struct {
	Name     string `json:"name"`
	Password string `json:"password"`
}

const maxPasswordBody = 8 << 10

// peopleRoutes are those about people.
func (s *Server) peopleRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /users", s.users)
	mux.HandleFunc("POST /users", s.addUser)
	mux.HandleFunc("POST /users/{name}/password", s.changePassword)
	mux.HandleFunc("POST /users/{name}/remove", s.removeUser)
	mux.HandleFunc("GET /people/{subject}/consents", s.consents)
	mux.HandleFunc("POST /people/{subject}/withdraw", s.withdraw)
	mux.HandleFunc("POST /people/{subject}/signout", s.signOut)
}

func (s *Server) accounts() *login.Accounts {
	return &login.Accounts{Users: s.config.People, Now: s.config.Now}
}

// failPerson answers with what is wrong with somebody.
func failPerson(w http.ResponseWriter, name string, err error) {
	switch {
	case errors.Is(err, login.ErrNone):
		fail(w, http.StatusNotFound, fmt.Errorf("there is no user %s", name))
	case errors.Is(err, login.ErrExists):
		fail(w, http.StatusConflict, err)
	case errors.Is(err, login.ErrFull):
		fail(w, http.StatusConflict, fmt.Errorf("there are %d users, and no more are kept: remove one, or use a provider", login.MaxUsers))
	case errors.Is(err, login.ErrUnfit):
		fail(w, http.StatusBadRequest, err)
	default: // the store, or too many passwords at once
		fail(w, http.StatusServiceUnavailable, err)
	}
}

func (s *Server) users(w http.ResponseWriter, r *http.Request) {
	found, err := s.config.People.Users(r.Context())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	all := []User{}
	for _, u := range found {
		all = append(all, User{u.Name, u.Subject(), u.Created, u.Changed})
	}
	answer(w, all)
}

// readPassword reads a password, which no error repeats.
func readPassword(w http.ResponseWriter, r *http.Request) (p newPassword, ok bool) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxPasswordBody))
	if err != nil || json.Unmarshal(data, &p) != nil {
		fail(w, http.StatusBadRequest, errors.New("the password is too long, or did not arrive"))
		return newPassword{}, false
	}
	return p, true
}

func (s *Server) addUser(w http.ResponseWriter, r *http.Request) {
	if p, ok := readPassword(w, r); ok {
		s.givePassword(w, r, audit.EventUserAdd, p, s.accounts().Add)
	}
}

func (s *Server) changePassword(w http.ResponseWriter, r *http.Request) {
	if p, ok := readPassword(w, r); ok {
		p.Name = r.PathValue("name")
		s.givePassword(w, r, audit.EventUserPassword, p, s.accounts().ChangePassword)
	}
}

// givePassword lets somebody sign in with a password: what cannot be recorded gives
// nothing (GL-15).
func (s *Server) givePassword(w http.ResponseWriter, r *http.Request, event string, p newPassword, give func(ctx context.Context, name, password string) error) {
	if err := s.mayGive(r.Context(), event, p); err != nil {
		failPerson(w, p.Name, err)
		return
	}
	e := audit.Event{Event: event, Subject: login.User{Name: p.Name}.Subject()}
	if err := s.recordedBefore(r, e); err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	if err := give(r.Context(), p.Name, p.Password); err != nil {
		s.notDone(r, e, err)
		failPerson(w, p.Name, err)
		return
	}
	answer(w, struct{}{})
}

// mayGive is what is wrong with an order, before it is recorded.
func (s *Server) mayGive(ctx context.Context, event string, p newPassword) error {
	if err := errors.Join(login.CheckName(p.Name), login.CheckPassword(p.Password)); err != nil {
		return err
	}
	_, err := s.config.People.User(ctx, p.Name)
	switch {
	case event != audit.EventUserAdd:
		return err
	case err == nil:
		return login.ErrExists
	case errors.Is(err, login.ErrNone):
		return nil
	}
	return err
}

func (s *Server) removeUser(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	ended, err := s.accounts().Remove(r.Context(), name)
	if err != nil {
		failPerson(w, name, err)
		return
	}
	s.personChanged(w, r, audit.EventUserRemove, login.User{Name: name}.Subject(), "", ended)
}

// personChanged records what was done and answers.
func (s *Server) personChanged(w http.ResponseWriter, r *http.Request, event, subject, clientID string, body any) {
	if err := s.recorded(r, audit.Event{Event: event, Subject: subject, ClientID: clientID}); err != nil {
		fail(w, http.StatusInternalServerError, err)
		return
	}
	answer(w, body)
}

func (s *Server) consents(w http.ResponseWriter, r *http.Request) {
	found, err := s.config.People.Consents(r.Context(), r.PathValue("subject"), s.config.Now())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	all := []Consent{}
	for _, c := range found {
		all = append(all, Consent{c.ClientID, c.Resource, c.Scope, c.Given})
	}
	answer(w, all)
}

// withdraw takes back what somebody agreed to, for the client of the query or for all.
func (s *Server) withdraw(w http.ResponseWriter, r *http.Request) {
	subject, clientID := r.PathValue("subject"), r.URL.Query().Get("client_id")
	ended, err := s.config.People.Withdraw(r.Context(), subject, clientID, s.config.Now())
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	s.personChanged(w, r, audit.EventConsentWithdraw, subject, clientID, ended)
}

func (s *Server) signOut(w http.ResponseWriter, r *http.Request) {
	subject := r.PathValue("subject")
	n, err := s.config.People.EndSessions(r.Context(), subject)
	if err != nil {
		fail(w, http.StatusServiceUnavailable, err)
		return
	}
	s.personChanged(w, r, audit.EventLogout, subject, "", login.Ended{Sessions: n})
}

// Users are the local users.
func (c *Client) Users(ctx context.Context) (all []User, err error) {
	return all, c.call(ctx, http.MethodGet, "/users", nil, &all)
}

// AddUser makes a local user.
func (c *Client) AddUser(ctx context.Context, name, password string) error {
	body, err := json.Marshal(newPassword{name, password})
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, "/users", body, new(struct{}))
}

const (
	userName = "name of the user"
	person   = "subject"
)

// ChangePassword gives a local user another password and ends its sessions.
func (c *Client) ChangePassword(ctx context.Context, name, password string) error {
	at, err := part(userName, name)
	if err != nil {
		return err
	}
	body, err := json.Marshal(newPassword{name, password})
	if err != nil {
		return err
	}
	return c.call(ctx, http.MethodPost, "/users/"+at+"/password", body, new(struct{}))
}

// RemoveUser takes a local user away, with all that clients have in its name.
func (c *Client) RemoveUser(ctx context.Context, name string) (ended login.Ended, err error) {
	name, err = part(userName, name)
	if err != nil {
		return ended, err
	}
	return ended, c.call(ctx, http.MethodPost, "/users/"+name+"/remove", nil, &ended)
}

// Consents are what a person lets clients have.
func (c *Client) Consents(ctx context.Context, subject string) (all []Consent, err error) {
	subject, err = part(person, subject)
	if err != nil {
		return nil, err
	}
	return all, c.call(ctx, http.MethodGet, "/people/"+subject+"/consents", nil, &all)
}

// Withdraw takes back what a person lets a client have, or all clients where that is
// empty, and ends what was granted.
func (c *Client) Withdraw(ctx context.Context, subject, clientID string) (ended login.Ended, err error) {
	subject, err = part(person, subject)
	if err != nil {
		return ended, err
	}
	return ended, c.call(ctx, http.MethodPost, "/people/"+subject+"/withdraw?client_id="+url.QueryEscape(clientID), nil, &ended)
}

// SignOut ends all sessions of a person.
func (c *Client) SignOut(ctx context.Context, subject string) (ended login.Ended, err error) {
	subject, err = part(person, subject)
	if err != nil {
		return ended, err
	}
	return ended, c.call(ctx, http.MethodPost, "/people/"+subject+"/signout", nil, &ended)
}
