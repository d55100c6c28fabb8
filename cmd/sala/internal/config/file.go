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

// File is a YAML file without unknown keys.
type File struct {
	path     string
	keys     map[string]bool // of flags and sections
	settings map[string]setting
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
	return &File{path: path, keys: keys, settings: make(map[string]setting), sections: defaultSections()}
}

// key returns the key of a flag.
func key(flag string) string { return strings.ReplaceAll(flag, "-", "_") }

// readFile reads a file that may contain the sections and these keys of flags. Errors name the file
// and the line. They never quote other lines, which may contain secrets.
func readFile(path string, flags map[string]bool) (*File, error) {
	body, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("can't read the configuration file: %w", err)
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
		return fmt.Errorf(`%s contains several documents, separated by "---"; keep one`, f.path)
	}
	if len(parsed.Docs) == 0 || parsed.Docs[0].Body == nil {
		return nil
	}
	root, ok := parsed.Docs[0].Body.(*ast.MappingNode)
	if !ok {
		if _, empty := parsed.Docs[0].Body.(*ast.CommentGroupNode); empty {
			return nil
		}
		return fmt.Errorf(`%s contains no settings; write lines such as "listen: :3000"`, f.path)
	}
	return f.decode(root)
}

// decode reads the flags itself and leaves the sections to the strict YAML decoder.
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

// setting reads a value or a flat list of values as text, which kong parses like the command line.
// The text is the file's own, so that a secret of digits doesn't become a number. It returns nil if
// there is no value.
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
			return nil, fmt.Errorf("%s:%d: %s takes a value, or a list of values if it is repeatable", f.path, n.GetToken().Position.Line, name)
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

// unknown suggests the key that was likely meant: with a dash for an underscore, or a plural.
func (f *File) unknown(name string, line int) error {
	normal := func(s string) string {
		return strings.TrimSuffix(strings.ToLower(strings.NewReplacer("_", "", "-", "").Replace(s)), "s")
	}
	known := slices.Sorted(maps.Keys(f.keys))
	if !keyName.MatchString(name) { // it could be a misplaced secret
		return fmt.Errorf("%s:%d: unknown key; the known keys are %s", f.path, line, strings.Join(known, ", "))
	}
	for _, candidate := range known {
		if normal(candidate) == normal(name) {
			return fmt.Errorf("%s:%d: unknown key %q; did you mean %s?", f.path, line, name, candidate)
		}
	}
	return fmt.Errorf("%s:%d: unknown key %q; the known keys are %s", f.path, line, name, strings.Join(known, ", "))
}

// explain adds the file and the line to an error of the YAML library.
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

// keyName matches keys, including misspelt ones. API keys and secrets from openssl have digits.
var keyName = regexp.MustCompile(`^[A-Za-z_-]{1,32}$`)

// hideKey masks a quoted key unless it looks like one.
func hideKey(quoted string) string {
	if keyName.MatchString(strings.Trim(quoted, `"`)) {
		return quoted
	}
	return masked
}

// hideValue masks a quoted text unless it is a known key: it could be a secret.
func (f *File) hideValue(quoted string) string {
	if f.keys[strings.Trim(quoted, `"`)] {
		return quoted
	}
	return masked
}

// resolvePath resolves a path in the file relative to the file's folder.
func (f *File) resolvePath(path string) string {
	if path == "" || path == "-" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(f.path), path)
}
