package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"freeway/config"
	"freeway/internal/geo"
)

// updatedPlaces is where "freeway geo update" puts the table when the
// configuration names none: beside the store. "": there is no store.
func updatedPlaces(cfg config.Config) string {
	if cfg.Store.Path == "" {
		return ""
	}
	return cfg.Store.Path + ".geo"
}

// placesMark tells whether the file of places is still the same.
type placesMark struct {
	path string // "": the built-in table
	size int64
	mod  time.Time
}

// markPlaces finds the file to use: the one that is named, else one that was
// fetched, else none.
func markPlaces(cfg config.Config) (placesMark, error) {
	path := cfg.Geo.Database
	if path == "" {
		path = updatedPlaces(cfg)
	}
	if path == "" {
		return placesMark{}, nil
	}
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist) && cfg.Geo.Database == "":
		return placesMark{}, nil
	case err != nil:
		return placesMark{}, fmt.Errorf("places: %w", err)
	}
	return placesMark{path, info.Size(), info.ModTime()}, nil
}

// open opens what the mark names.
func (m placesMark) open() (*geo.Database, error) {
	if m.path == "" {
		return geo.Builtin()
	}
	return geo.Open(m.path)
}

// openPlaces opens the database of the configuration, else the table that was
// fetched, else the built-in one.
func openPlaces(cfg config.Config) (*geo.Database, error) {
	mark, err := markPlaces(cfg)
	if err != nil {
		return nil, err
	}
	return mark.open()
}

// applyPlaces opens the file of places again if it is another one, or was
// replaced. It is called before the server runs and during a reload.
func (s *server) applyPlaces(c config.Config) error {
	mark, err := markPlaces(c)
	if err != nil || s.places != nil && *s.places == mark {
		return err
	}
	db, err := mark.open()
	if err != nil {
		return err
	}
	info := db.Info()
	s.log.Info("places", "from", placesName(info), "date", info.Date.Format(time.DateOnly))
	if !db.KnowsSystems() && len(c.Filter.DenyASNs) > 0 {
		s.log.Warn("filter.deny_asns has no effect: the table of places knows no networks; see freeway geo")
	}
	s.places = &mark
	return s.geo.Replace(db)
}

// placesName is the path of a database, or a word for the built-in one.
func placesName(i geo.Info) string {
	if i.Path == "" {
		return "built in"
	}
	return i.Path
}
