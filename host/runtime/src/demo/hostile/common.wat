;; The code of a policy, all but `make-plan`. Layouts follow the canonical ABI of `sluice:policy/allocator`: strings and
;; lists are a pointer and a length of four bytes each.
(module
  (memory (export "memory") 1)
  ;; describe: name, version, summary, settings-schema, no attributes
  (data (i32.const 16) "hostile")
  (data (i32.const 32) "1.0.0")
  (data (i32.const 48) "Nothing to worry about.")
  (data (i32.const 80) "{\"type\":\"object\"}")
  (data (i32.const 128)
    "\10\00\00\00\07\00\00\00"
    "\20\00\00\00\05\00\00\00"
    "\30\00\00\00\17\00\00\00"
    "\50\00\00\00\11\00\00\00"
    "\00\00\00\00\00\00\00\00")
  (func (export "sluice:policy/allocator@0.1.0#describe") (result i32) (i32.const 128))
  (func (export "cabi_post_sluice:policy/allocator@0.1.0#describe") (param i32))
  ;; validate-settings: ok
  (func (export "sluice:policy/allocator@0.1.0#validate-settings") (param i32 i32) (result i32) (i32.const 192))
  (func (export "cabi_post_sluice:policy/allocator@0.1.0#validate-settings") (param i32))
  (func (export "cabi_post_sluice:policy/allocator@0.1.0#make-plan") (param i32))
  ;; Memory is handed out from the second page up and never taken back.
  (global $free (mut i32) (i32.const 65536))
  (func (export "cabi_realloc") (param i32 i32) (param $align i32) (param $size i32) (result i32)
    (local $block i32)
    (local.set $block
      (i32.and
        (i32.add (global.get $free) (i32.sub (local.get $align) (i32.const 1)))
        (i32.sub (i32.const 0) (local.get $align))))
    (global.set $free (i32.add (local.get $block) (local.get $size)))
    (loop $grow
      (if (i32.gt_u (global.get $free) (i32.shl (memory.size) (i32.const 16)))
        (then
          (if (i32.eq (memory.grow (i32.const 1)) (i32.const -1)) (then unreachable))
          (br $grow))))
    (local.get $block))
  ;; PLAN
)
