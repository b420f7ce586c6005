package admin

import (
	"context"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// What is no svidgate server is told to be none, whether it speaks before it is asked
// or after, and whatever it says first.
func TestAskOfSomethingElse(t *testing.T) {
	for name, answer := range map[string]func(net.Conn){
		"before it is asked": func(c net.Conn) { c.Write([]byte("\x00\x00\x06\x04\x00\x00\x00\x00\x00")) },
		"after it is asked": func(c net.Conn) {
			c.Read(make([]byte, 1))
			c.Write([]byte("220 mail.example.com"))
		},
		"one letter": func(c net.Conn) { c.Write([]byte("S")) },
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "other.sock")
			l, err := net.Listen("unix", path)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			go func() {
				for {
					c, err := l.Accept()
					if err != nil {
						return
					}
					go func() {
						answer(c)
						c.SetDeadline(time.Now().Add(10 * time.Second))
						for b := make([]byte, 512); err == nil; {
							_, err = c.Read(b)
						}
						c.Close()
					}()
				}
			}()
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			for range 50 {
				if _, err := Dial(path).Bundles(ctx); err == nil || !strings.Contains(err.Error(), "no svidgate server") {
					t.Fatalf("it says %v", err)
				}
			}
		})
	}
}
