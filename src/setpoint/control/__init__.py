"""LOOP 4. Decides how far what happens is from what was promised, and acts."""
