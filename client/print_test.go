package client_test

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/svidgate/svidgate/client"
)

// AU-2: whoever prints or logs a token does not print the access token, and sees
// what else there is.
func TestTokenHidesItself(t *testing.T) {
	token := client.Token{AccessToken: "canary-token", TokenType: "Bearer", Scope: "read", ExpiresAt: time.Unix(1_800_000_000, 0).UTC()}
	held := struct{ T client.Token }{token}
	type row struct {
		name  string
		print func(io.Writer)
	}
	var rows []row
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%X"} {
		for name, value := range map[string]any{"token": token, "pointer": &token, "held": held, "list": []client.Token{token}} {
			rows = append(rows, row{verb + " " + name, func(w io.Writer) { fmt.Fprintf(w, verb, value) }})
		}
	}
	for name, handler := range map[string]func(io.Writer) slog.Handler{
		"JSON": func(w io.Writer) slog.Handler { return slog.NewJSONHandler(w, nil) },
		"text": func(w io.Writer) slog.Handler { return slog.NewTextHandler(w, nil) },
	} {
		for what, value := range map[string]any{"token": token, "pointer": &token} {
			rows = append(rows, row{name + " handler " + what, func(w io.Writer) { slog.New(handler(w)).Info("x", slog.Any("t", value)) }})
		}
	}
	for _, tt := range rows {
		t.Run(tt.name, func(t *testing.T) {
			var b bytes.Buffer
			tt.print(&b)
			for _, secret := range []string{"canary", "63616e617279"} {
				if strings.Contains(b.String(), secret) {
					t.Errorf("AU-2: shows the token: %s", b.String())
				}
			}
			for _, want := range []string{"Bearer", "read", "2027-01-15T08:00:00"} {
				if !strings.Contains(b.String(), want) {
					t.Errorf("does not show %s: %s", want, b.String())
				}
			}
		})
	}
}
