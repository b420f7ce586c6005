package process

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const module = "github.com/svidgate/svidgate/"

// AnyCore leaves the choice of cores to the system.
const AnyCore = -1

// Build builds a program of this module as it is delivered (no cgo, stripped)
// and returns its path in dir.
func Build(ctx context.Context, dir, pkg string) (string, error) {
	bin := filepath.Join(dir, filepath.Base(pkg))
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, module+pkg)
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, out)
	}
	return bin, nil
}

// A Process is a program that was started here.
type Process struct {
	PID int
	// Began is just before the program was started, CameUp when its line was read.
	Began, CameUp time.Time

	cmd *exec.Cmd
}

// Start runs a program on a core and reads its standard error until ready, called
// with each line, returns true.
func Start(ctx context.Context, core int, ready func(line []byte) bool, program string, args ...string) (*Process, error) {
	p := &Process{cmd: exec.CommandContext(ctx, program, args...)}
	// A program that does not end by itself is ended with this one's context.
	p.cmd.Cancel = func() error { return p.cmd.Process.Signal(syscall.SIGTERM) }
	p.cmd.WaitDelay = 5 * time.Second
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		return nil, err
	}
	p.Began = time.Now()
	if core == AnyCore {
		err = p.cmd.Start()
	} else {
		err = pinned(core, p.cmd.Start)
	}
	if err != nil {
		return nil, err
	}
	p.PID = p.cmd.Process.Pid
	lines := bufio.NewScanner(stderr)
	var last string
	for lines.Scan() {
		p.CameUp = time.Now()
		if ready(lines.Bytes()) {
			go io.Copy(io.Discard, stderr)
			return p, nil
		}
		last = lines.Text()
	}
	err = p.cmd.Wait()
	return nil, errors.Join(fmt.Errorf("%s did not come up: %s", filepath.Base(program), last), err)
}

// Usage is what it has used.
func (p *Process) Usage() (Usage, error) { return UsageOf(p.PID) }

// Pause stops it where it is, until Continue, so that it takes nothing from what
// is measured meanwhile.
func (p *Process) Pause() error { return p.cmd.Process.Signal(syscall.SIGSTOP) }

// Continue undoes Pause.
func (p *Process) Continue() error { return p.cmd.Process.Signal(syscall.SIGCONT) }

// Stop ends it in order.
func (p *Process) Stop() {
	p.cmd.Process.Signal(syscall.SIGTERM)
	p.Continue() // it may be paused
	killer := time.AfterFunc(20*time.Second, func() { p.cmd.Process.Kill() })
	defer killer.Stop()
	p.cmd.Wait()
}

// Kill ends it at once, as a power cut would.
func (p *Process) Kill() {
	p.cmd.Process.Kill()
	p.cmd.Wait()
}
