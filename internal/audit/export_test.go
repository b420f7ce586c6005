package audit

import "os"

// OpenOn is Open for a regular file that is on something else than the disk.
func OpenOn(cfg Config, on func(*os.File) (File, error)) (*Log, error) {
	f, regular, err := openFile(cfg.File)
	if err != nil {
		return nil, err
	}
	there, err := on(f)
	if err != nil {
		return nil, err
	}
	l := newLog(cfg, there, regular)
	if err := l.begin(f, cfg.File); err != nil {
		return nil, err
	}
	l.start()
	return l, nil
}

// A File is what a Log writes to.
type File = file
