//go:build spire

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// spireProgram is one of SPIRE's two programs.
func spireProgram(t *testing.T, name string) string {
	t.Helper()
	folder := os.Getenv("SVIDGATE_SPIRE_BIN")
	if folder == "" {
		t.Fatal("SVIDGATE_SPIRE_BIN must name the folder with spire-server and spire-agent; ./test builds them and sets it")
	}
	path, err := filepath.Abs(filepath.Join(folder, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("SVIDGATE_SPIRE_BIN: %v", err)
	}
	return path
}

// A spireProcess is a long-running program of SPIRE. It has no children.
type spireProcess struct {
	cmd   *exec.Cmd
	log   string // file that has what it says
	ended chan struct{}
}

// launchSPIRE starts a program and stops it at the end of the test. If the test has
// failed by then, the end of what the program said is shown.
func launchSPIRE(t *testing.T, log string, env []string, program string, args ...string) *spireProcess {
	t.Helper()
	out, err := os.OpenFile(log, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	p := &spireProcess{cmd: exec.Command(program, args...), log: log, ended: make(chan struct{})}
	p.cmd.Env = append(os.Environ(), env...)
	p.cmd.Stdout, p.cmd.Stderr = out, out
	p.cmd.SysProcAttr = endsWithUs()
	started := make(chan error)
	go func() {
		// The signal at our death is tied to the thread that starts the child, so
		// that thread lives as long as the child.
		runtime.LockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.cmd.Wait() // how it ended is nobody's concern
			close(p.ended)
		}
	}()
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the last of %s:\n%s", p.log, p.said())
		}
		p.stop()
	})
	return p
}

// said is the end of the log.
func (p *spireProcess) said() []byte {
	data, err := os.ReadFile(p.log)
	if err != nil {
		return []byte(err.Error())
	}
	return data[max(0, len(data)-4000):]
}

func (p *spireProcess) alive() bool {
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// stop ends the process as an operator does.
func (p *spireProcess) stop() {
	p.cmd.Process.Signal(syscall.SIGTERM) // if it has not ended
	select {
	case <-p.ended:
	case <-time.After(patience):
		p.kill()
	}
}

// kill ends it without a chance to say goodbye.
func (p *spireProcess) kill() {
	p.cmd.Process.Kill()
	<-p.ended
}
