;; A component of world `pure-skill` around a core module, whose place an empty one holds here: the text
;; format cannot take a module that is binary already.
(component
  (core module $skill
    (memory (export "memory") 1)
    (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32) unreachable)
    (func (export "run") (param i32 i32) (result i32) unreachable))
  (core instance $instance (instantiate $skill))
  (func (export "run") (param "input" string) (result (result string (error string)))
    (canon lift (core func $instance "run")
      (memory (core memory $instance "memory"))
      (realloc (core func $instance "cabi_realloc")))))
