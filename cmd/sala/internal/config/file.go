package config

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
)

// File is a YAML file that has been read and holds no unknown key.
type File struct {
	path     string
	keys     map[string]bool // what flags and sections are called
	settings map[string]setting
	used     map[string]bool // the settings that nothing overrides
	sections Sections
}

// setting is the value of one flag.
type setting struct {
	line   int
	values []string
	isList bool
}

func newFile(path string, flags map[string]bool) *File {
	keys := make(map[string]bool)
	maps.Copy(keys, flags)
	maps.Copy(keys, sectionKeys())
	return &File{path: path, keys: keys, settings: make(map[string]setting), used: make(map[string]bool), sections: defaultSections()}
}

// key is the name of a flag in the file.
func key(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// readFile reads a file that may hold the sections and these keys of flags. Errors name
// the file and the line, and never quote other lines: they may hold secrets.
func readFile(path string, flags map[string]bool) (*File, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("the configuration file can't be read: %w", err)
	}
	f := newFile(path, flags)
	return f, f.parse(body)
}

func (f *File) parse(body []byte) error {
	parsed, err := parser.ParseBytes(body, 0)
	if err != nil {
		return f.explain(err)
	}
	if len(parsed.Docs) > 1 {
		return fmt.Errorf(`%s holds several documents, separated by "---"; keep one`, f.path)
	}
	if len(parsed.Docs) == 0 || parsed.Docs[0].Body == nil {
		return nil
	}
	root, ok := parsed.Docs[0].Body.(*ast.MappingNode)
	if !ok {
		if _, empty := parsed.Docs[0].Body.(*ast.CommentGroupNode); empty {
			return nil
		}
		return fmt.Errorf(`%s holds no settings; a line of it looks like "listen: :3000"`, f.path)
	}
	return f.decode(root)
}

// decode takes what is a flag for itself and leaves the rest to the strict
// decoder of the sections.
func (f *File) decode(root *ast.MappingNode) error {
	sections := sectionKeys()
	var rest []*ast.MappingValueNode
	for _, pair := range root.Values {
		token := pair.Key.GetToken()
		name, line := token.Value, token.Position.Line
		switch {
		case sections[name]:
			rest = append(rest, pair)
		case f.keys[name]:
			s, err := f.setting(name, line, pair.Value)
			if err != nil {
				return err
			}
			if s != nil {
				f.settings[name] = *s
			}
		default:
			return f.unknown(name, line)
		}
	}
	root.Values = rest
	if err := yaml.NodeToValue(root, &f.sections, yaml.Strict()); err != nil {
		return f.explain(err)
	}
	return nil
}

// setting reads one value or a flat list of them, as text: kong parses it, as
// it does what stands on the command line. The text is the file's own, so that
// a secret of digits doesn't become a number. No value at all returns nil.
func (f *File) setting(name string, line int, node ast.Node) (*setting, error) {
	s := &setting{line: line}
	nodes := []ast.Node{node}
	if seq, ok := node.(*ast.SequenceNode); ok {
		s.isList, nodes = true, seq.Values
	} else if _, ok := node.(*ast.NullNode); ok {
		return nil, nil
	}
	for _, n := range nodes {
		text, ok := scalar(n)
		if !ok {
			return nil, fmt.Errorf("%s:%d: %s takes a value, or a list of values where it may be repeated", f.path, n.GetToken().Position.Line, name)
		}
		s.values = append(s.values, text)
	}
	return s, nil
}

func scalar(node ast.Node) (string, bool) {
	switch n := node.(type) {
	case *ast.StringNode:
		return n.Value, true
	case *ast.LiteralNode:
		return strings.TrimSpace(n.Value.Value), true
	case *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.InfinityNode, *ast.NanNode:
		return n.GetToken().Value, true
	default:
		return "", false
	}
}

// unknown says what is likely meant: a dash for an underscore, a plural.
func (f *File) unknown(name string, line int) error {
	normal := func(s string) string {
		return strings.TrimSuffix(strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)), "s")
	}
	known := slices.Sorted(maps.Keys(f.keys))
	if !keyName.MatchString(name) { // it could be a secret in the wrong column
		return fmt.Errorf("%s:%d: unknown key; there are %s", f.path, line, strings.Join(known, ", "))
	}
	for _, candidate := range known {
		if normal(candidate) == normal(name) {
			return fmt.Errorf("%s:%d: unknown key %q; it is written %s", f.path, line, name, candidate)
		}
	}
	return fmt.Errorf("%s:%d: unknown key %q; there are %s", f.path, line, name, strings.Join(known, ", "))
}

// explain puts the file and the line in front of what the YAML library says.
func (f *File) explain(err error) error {
	var yamlErr yaml.Error
	if !errors.As(err, &yamlErr) || yamlErr.GetToken() == nil {
		return fmt.Errorf("%s: %s", f.path, quoted.ReplaceAllStringFunc(yaml.FormatError(err, false, false), f.hideValue))
	}
	message := yamlErr.GetMessage()
	var (
		typeErr  *yaml.TypeError
		fieldErr *yaml.UnknownFieldError
	)
	switch {
	case errors.As(err, &typeErr):
		message = fmt.Sprintf("expected %s here, not %s", kindName(typeErr.DstType), kindName(typeErr.SrcType))
	case errors.As(err, &fieldErr):
		message = quoted.ReplaceAllStringFunc(message, hideKey)
	default:
		message = quoted.ReplaceAllStringFunc(message, f.hideValue)
	}
	return fmt.Errorf("%s:%d: %s", f.path, yamlErr.GetToken().Position.Line, message)
}

var quoted = regexp.MustCompile(`"[^"]*"`)

// keyName is what a key looks like, also one with a typing error. Keys and
// secrets that openssl makes have digits.
var keyName = regexp.MustCompile(`^[A-Za-z_-]{1,32}$`)

// hideKey keeps a key that an error quotes only if it looks like one.
func hideKey(quoted string) string {
	if keyName.MatchString(strings.Trim(quoted, `"`)) {
		return quoted
	}
	return masked
}

// hideValue keeps what an error quotes only if that is a key there is: it could
// be a secret.
func (f *File) hideValue(quoted string) string {
	if f.keys[strings.Trim(quoted, `"`)] {
		return quoted
	}
	return masked
}

// resolvePath makes a path from the file relative to the file's folder.
func (f *File) resolvePath(path string) string {
	if path == "" || path == "-" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(f.path), path)
}
