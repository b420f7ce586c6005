package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"testing"

	"golang.org/x/sys/unix"
)

// terminals stay open: who was reading one restores it by its number, perhaps when that
// would be another's.
var terminals []*os.File

// newTerminal is a pseudo-terminal: what a command sees, and who types.
func newTerminal(t *testing.T) (seen, typist *os.File) {
	t.Helper()
	typist, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatalf("this test needs a pseudo-terminal: %v", err)
	}
	if err := unix.IoctlSetPointerInt(int(typist.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(typist.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if seen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0); err != nil {
		t.Fatalf("this test needs a pseudo-terminal: %v", err)
	}
	terminals = append(terminals, seen, typist)
	return seen, typist
}

func echoes(t *testing.T, f *os.File) bool {
	t.Helper()
	state, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	if err != nil {
		t.Error(err)
		return false
	}
	return state.Lflag&unix.ECHO != 0
}

// A password is asked for twice and not shown; one interrupt ends that, and the
// terminal shows again what is typed.
func TestAskPassword(t *testing.T) {
	seen, typist := newTerminal(t)
	typist.WriteString("a long enough one\na long enough one\n")
	if password, err := askPassword(t.Context(), new(bytes.Buffer), seen); err != nil || password != "a long enough one" {
		t.Errorf("%q, %v", password, err)
	}
	seen, typist = newTerminal(t)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		for echoes(t, seen) && ctx.Err() == nil { // until it is asked for
			runtime.Gosched()
		}
		cancel()
	}()
	if _, err := askPassword(ctx, new(bytes.Buffer), seen); !errors.Is(err, errNoPassword) || !echoes(t, seen) {
		t.Errorf("%v; it echoes: %t", err, echoes(t, seen))
	}
	typist.WriteString("\n") // ends the reading that nobody waits for
}
