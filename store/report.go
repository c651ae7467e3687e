package store

import (
	"context"
	"errors"
	"os"
)

// Report is what a check of a whole store found when nothing was wrong.
type Report struct {
	Format    int   // version of the format
	Bytes     int64 // size of the file
	Endpoints int   // records, also those that are still in the log
}

// ReportFile is CheckFile that also says what is in the file.
func ReportFile(ctx context.Context, path string) (Report, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Report{}, err
	}
	s, err := Open(path, Options{ReadOnly: true})
	if err != nil {
		return Report{}, err
	}
	r := Report{Format: s.format, Bytes: info.Size()}
	if err = s.Check(ctx); err == nil {
		r.Endpoints, err = s.count(ctx)
	}
	return r, errors.Join(err, s.Close())
}

// count counts the records.
func (s *Store) count(ctx context.Context) (n int, err error) {
	for _, err := range s.Load(ctx) {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// ReportCopy checks a store that is being written: it copies the file, page by
// page, and checks the copy. ErrCorrupt is in the error when something is wrong
// with the content, other errors say that there was no room for a copy, or that
// it could not be read.
func (s *Store) ReportCopy(ctx context.Context) (r Report, err error) {
	c, err := s.Copy(ctx, true)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, c.Close()) }()
	return ReportFile(ctx, c.f.Name())
}
