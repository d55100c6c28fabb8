package config

import (
	"fmt"
	"os"
	"slices"
	"time"

	"github.com/salabroker/sala/api/auth"
)

// settleTime is how long nobody may have written to the configuration file before it is read without
// being asked to: an editor may have written half of it.
const settleTime = 2 * time.Second

// KeyFile is the configuration file as the place of the API keys. Only one goroutine may use it.
type KeyFile struct {
	file       *File
	namespaces List
	entries    List // in use
}

// KeyFile returns the configuration file if the API keys are in it; nil if they come from the command
// line or the environment, which can't change, or if there is none.
func (c *Config) KeyFile() *KeyFile {
	f := c.Flags
	if f.origins["api_key"] != originFile {
		return nil
	}
	return &KeyFile{file: f.file, namespaces: f.Namespaces, entries: slices.Clone(f.APIKey)}
}

// Path returns the path of the file.
func (k *KeyFile) Path() string { return k.file.path }

// Settled reports whether nobody has written to the file for two seconds. A file that can't be
// asked is settled, so that [KeyFile.Reload] says what is wrong with it.
func (k *KeyFile) Settled() bool {
	info, err := os.Stat(k.file.path)
	return err != nil || time.Since(info.ModTime()).Abs() >= settleTime
}

// Reload reads the API keys again, and checks them and the whole file as at start. It returns the
// keys if they aren't those of the last time, otherwise nil. Warnings are for keys that are valid but
// unusual. After an error the next call reads them again.
func (k *KeyFile) Reload() (keys []auth.Key, warnings []string, err error) {
	file, err := readFile(k.file.path, k.file.keys)
	if err != nil {
		return nil, nil, err
	}
	f := &Flags{APIKey: file.settings["api_key"].values, Namespaces: k.namespaces}
	if len(f.APIKey) == 0 {
		return nil, nil, fmt.Errorf("%s has no api_key any more", k.file.path)
	}
	if slices.Equal(f.APIKey, k.entries) {
		return nil, nil, nil
	}
	var p problems
	keys = f.readKeys(&p)
	if err := p.err(); err != nil {
		return nil, nil, err
	}
	k.entries = f.APIKey
	return keys, f.shortKeys(), nil
}
